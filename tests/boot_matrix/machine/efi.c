/* The UEFI part of the stand-in kernel: its load options, and the files that iPXE shows it (UEFI 2.10,
   sections 9.1, 13.4, 13.5). Position-independent. */

#include "common.h"

#define EFIAPI __attribute__((ms_abi))

typedef u64 status;
typedef struct { u32 a; u16 b, c; u8 d[8]; } guid;

struct boot_services {
    u8 header[24];
    void *raise_tpl, *restore_tpl, *allocate_pages, *free_pages, *get_memory_map, *allocate_pool, *free_pool;
    void *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
    void *install_protocol, *reinstall_protocol, *uninstall_protocol;
    status(EFIAPI *handle_protocol)(void *handle, const guid *protocol, void **interface);
};

struct system_table {
    u8 header[24];
    void *vendor;
    u64 revision;
    void *handles_and_consoles[6];
    void *runtime;
    struct boot_services *boot;
};

struct loaded_image {
    u32 revision;
    void *parent, *system, *device, *path, *reserved;
    u32 options_size;
    u16 *options;
};

struct file {
    u64 revision;
    status(EFIAPI *open)(struct file *, struct file **, const u16 *name, u64 mode, u64 attributes);
    status(EFIAPI *close)(struct file *);
    status(EFIAPI *remove)(struct file *);
    status(EFIAPI *read)(struct file *, u64 *size, void *into);
};

struct file_system {
    u64 revision;
    status(EFIAPI *open_volume)(struct file_system *, struct file **root);
};

struct file_info {
    u64 size, file_size, physical_size;
    u8 times[48];
    u64 attribute;
    u16 name[200];
};

static u8 buffer[65536];

__asm__(".section .entry, \"ax\"\n"
        "    jmp efi_main\n"
        ".text\n");

static void print_wide(const u16 *text, u32 most)
{
    for (; most && *text; text++, most--)
        put(*text < 0x80 ? *text : '?');
}

/* What a file holds, as far as the buffer goes. */
static void print_file(struct file *root, const u16 *name)
{
    struct file *file;
    u64 size = sizeof buffer;
    print("stand-in: file ");
    print_wide(name, 200);
    put(':');
    if (root->open(root, &file, name, 1, 0)) {
        print(" cannot be opened");
    } else {
        if (file->read(file, &size, buffer))
            print(" cannot be read");
        else
            print_marks(buffer, buffer + size);
        file->close(file);
    }
    end_line();
}

/* As a kernel with the EFI stub finds its initial RAM disks: by each `initrd=NAME`, from the device that it
   was loaded from. */
static void print_initrds(struct file *root, const u16 *options, u32 count)
{
    static const char word[] = "initrd=";
    for (u32 i = 0; i < count && options[i]; i++) {
        u32 same = 0;
        while (same < 7 && i + same < count && options[i + same] == (u8)word[same])
            same++;
        if (same < 7 || (i && options[i - 1] != ' '))
            continue;
        u16 name[200];
        u32 length = 0;
        for (i += 7; i < count && options[i] && options[i] != ' ' && length < 199; i++)
            name[length++] = options[i];
        name[length] = 0;
        print_file(root, name);
    }
}

/* As wimboot does: all there is. */
static void print_all(struct file_system *volume, struct file *root)
{
    static struct file_info info;
    static u16 names[16][200];
    u32 count = 0;
    (void)volume;
    for (; count < 16; count++) {
        u64 size = sizeof info;
        if (root->read(root, &size, &info) || !size)
            break;
        u32 i = 0;
        for (; i < 199 && info.name[i]; i++)
            names[count][i] = info.name[i];
        names[count][i] = 0;
    }
    for (u32 i = 0; i < count; i++) {
        print("stand-in: all: ");
        print_wide(names[i], 200);
        end_line();
    }
    for (u32 i = 0; i < count; i++)
        print_file(root, names[i]);
}

status EFIAPI efi_main(void *handle, struct system_table *system)
{
    static const guid image_guid = {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
    static const guid volume_guid = {0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
    struct loaded_image *image;
    struct file_system *volume;
    struct file *root;
    print("\r\nstand-in: started by UEFI\r\n");
    if (system->boot->handle_protocol(handle, &image_guid, (void **)&image)) {
        print("stand-in: no loaded image\r\n");
        the_end();
    }
    print("stand-in: command line: ");
    print_wide(image->options, image->options_size / 2);
    end_line();
    if (system->boot->handle_protocol(image->device, &volume_guid, (void **)&volume)
        || volume->open_volume(volume, &root)) {
        print("stand-in: no files\r\n");
        the_end();
    }
    print_initrds(root, image->options, image->options_size / 2);
    print_all(volume, root);
    the_end();
}
