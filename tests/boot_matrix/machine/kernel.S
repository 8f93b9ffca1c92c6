/* A stand-in for a Linux kernel, and for whatever else iPXE starts as one (wimboot, memory test): a bzImage
   (Documentation/arch/x86/boot.rst) and an EFI application (PE32+) in one file, as a kernel with the EFI
   stub is. It tells on the serial port how it was started, and halts. */

    .code16
    .text
file:
    .ascii "MZ"
    .org 0x3c
    .long pe - file
pe:
    .ascii "PE\0\0"
    .word 0x8664, 1                     /* x86-64, one section */
    .long 0, 0, 0
    .word section - optional, 0x0206    /* executable, without line numbers, may be placed anywhere */
optional:
    .word 0x020b                        /* PE32+ */
    .byte 2, 40
    .long all_end - body, 0, 0
    .long efi - file, body - file       /* entry point, base of the code */
    .quad 0
    .long 0x200, 0x200                  /* alignment of sections and of the file */
    .word 0, 0, 0, 0, 0, 0
    .long 0
    .long all_end - file, body - file   /* size of the image, of the headers */
    .long 0
    .word 10, 0                         /* an EFI application */
    .quad 0, 0, 0, 0
    .long 0, 6
    .quad 0, 0, 0, 0, 0, 0              /* nothing to relocate */
section:
    .ascii ".text\0\0\0"
    .long all_end - body, body - file, all_end - body, body - file
    .long 0, 0
    .word 0, 0
    .long 0xe0000020                    /* code, read, write, execute */

    .org 0x1f1
    .byte 1                             /* one sector of setup after the first */
    .word 0
    .long (all_end - body) / 16
    .word 0, 0, 0, 0xaa55
    .byte 0xeb, start16 - after_jump    /* 0x200 */
after_jump:
    .ascii "HdrS"
    .word 0x020c                        /* version of the protocol */
    .long 0
    .word 0, 0
    .byte 0, 1                          /* loaded high */
    .word 0
    .long 0x100000, 0, 0, 0
    .word 0, 0
    .long 0, 0x7fffffff, 0x100000       /* command line, highest place of the initial RAM disk, alignment */
    .byte 0, 0
    .word 0
    .long 4095                          /* the longest command line */
    .org 0x268
start16:
    cli
    xorl %eax, %eax
    movw %ds, %ax
    shll $4, %eax
    movl %eax, %esi
    addl $(gdt - file), %eax
    movl %eax, gdt_register - file + 2
    lgdtl gdt_register - file
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    .byte 0x66, 0xea                    /* a far jump to 1 MiB */
    .long 0x100000
    .word 8
    .balign 8
gdt:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_register:
    .word 23
    .long 0

    .org 0x400
body:
    .incbin "bios.bin"
    .balign 0x200
efi:
    .incbin "efi.bin"
    .balign 0x200
all_end:
