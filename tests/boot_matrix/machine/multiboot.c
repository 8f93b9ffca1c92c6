/* A stand-in for a multiboot kernel (Multiboot Specification 0.6.96): its command line, and its modules. */

#include "common.h"

__asm__(".section .entry, \"ax\"\n"
        ".set FLAGS, 0x00010003\n" /* pages, memory, and the addresses below */
        "    jmp start\n"
        "    .balign 4\n"
        "header:\n"
        "    .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)\n"
        "    .long header, image_start, image_end, bss_end, start\n"
        "start:\n"
        "    mov $stack_end, %esp\n"
        "    push %ebx\n"
        "    push %eax\n"
        "    call multiboot_main\n"
        ".section .bss\n"
        "    .space 8192\n"
        "stack_end:\n"
        ".text\n");

struct module {
    u32 start, end, line, pad;
};

struct info {
    u32 flags, mem_lower, mem_upper, boot_device, line, count, modules;
};

void multiboot_main(u32 magic, const struct info *info)
{
    print("\r\nstand-in: started by multiboot\r\n");
    if (magic != 0x2badb002)
        print("stand-in: wrong magic number\r\n");
    print("stand-in: command line:");
    put(' ');
    print(at(info->line));
    end_line();
    const struct module *module = (const struct module *)at(info->modules);
    for (u32 i = 0; i < info->count; i++, module++) {
        print("stand-in: module:");
        put(' ');
        print(at(module->line));
        end_line();
    }
    print("stand-in: loaded:");
    module = (const struct module *)at(info->modules);
    for (u32 i = 0; i < info->count; i++, module++)
        print_marks((const u8 *)at(module->start), (const u8 *)at(module->end));
    end_line();
    the_end();
}
