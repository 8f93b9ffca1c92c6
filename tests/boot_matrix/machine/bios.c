/* The protected-mode part of the stand-in kernel: what a BIOS boot loader has given it, by the fields of
   the setup header (Documentation/arch/x86/boot.rst). Loaded at 1 MiB. */

#include "common.h"

__asm__(".section .entry, \"ax\"\n"
        "    mov $0x10, %ax\n"
        "    mov %ax, %ds\n"
        "    mov %ax, %es\n"
        "    mov %ax, %fs\n"
        "    mov %ax, %gs\n"
        "    mov %ax, %ss\n"
        "    mov $stack_end, %esp\n"
        "    push %esi\n"
        "    call bios_main\n"
        ".section .bss\n"
        "    .space 8192\n"
        "stack_end:\n"
        ".text\n");

static u32 field(u32 header, u32 offset)
{
    const u8 *bytes = (const u8 *)at(header + offset);
    return bytes[0] | (u32)bytes[1] << 8 | (u32)bytes[2] << 16 | (u32)bytes[3] << 24;
}

void bios_main(u32 header)
{
    u32 line = field(header, 0x228), image = field(header, 0x218), size = field(header, 0x21c);
    print("\r\nstand-in: started by BIOS\r\nstand-in: command line:");
    put(' ');
    print(at(line));
    print("\r\nstand-in: loaded:");
    print_marks((const u8 *)at(image), (const u8 *)at(image) + size);
    end_line();
    the_end();
}
