// SPDX-License-Identifier: GPL-2.0-only
/*
 * klprela FILE.ko: what klp-convert and klp-build do in their last step, for a module with relocations for one object. Relocations against
 * undefined symbols `.klp.sym.OBJECT.NAME,POS` move from .rela.SECTION to a new section .klp.rela.OBJECT.SECTION, with
 * SHF_RELA_LIVEPATCH; the symbols get SHN_LIVEPATCH (Documentation/livepatch/module-elf-format.rst). What is new is written behind the old end.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHF_RELA_LIVEPATCH 0x00100000
#define SHN_LIVEPATCH 0xff20
#define PREFIX ".klp.sym."

static char *image;
static long size;

/* Appends bytes; returns their offset. */
static long append(const void *bytes, long count)
{
	long at = (size + 7) & ~7L;

	image = realloc(image, at + count);
	memset(image + size, 0, at - size);
	memcpy(image + at, bytes, count);
	size = at + count;
	return at;
}

static void read_file(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file || fseek(file, 0, SEEK_END))
		exit(1);
	size = ftell(file);
	rewind(file);
	image = malloc(size);
	if (fread(image, 1, size, file) != (size_t)size)
		exit(1);
	fclose(file);
}

/* Section headers and their names; append() moves the image, and these stay. */
static Elf64_Shdr *sections;
static int count;
static char *names;
static long names_size;
static char object[64];

static Elf64_Sym *symbols(void)
{
	for (int i = 0; i < count; i++)
		if (sections[i].sh_type == SHT_SYMTAB)
			return (Elf64_Sym *)(image + sections[i].sh_offset);
	exit(1);
}

/* What is named .klp.sym. is livepatch's to find. Notes the object that has it. */
static void mark_symbols(const Elf64_Shdr *symtab)
{
	const char *strings = image + sections[symtab->sh_link].sh_offset;
	Elf64_Sym *all = symbols();

	for (unsigned long i = 0; i < symtab->sh_size / sizeof(*all); i++) {
		const char *name = strings + all[i].st_name;

		if (all[i].st_shndx != SHN_UNDEF || strncmp(name, PREFIX, strlen(PREFIX)))
			continue;
		sscanf(name + strlen(PREFIX), "%55[^.]", object);
		all[i].st_shndx = SHN_LIVEPATCH;
	}
}

/* Moves the relocations against such symbols to a section of their own. */
static void move_relocations(Elf64_Shdr *from)
{
	Elf64_Rela *rela = (Elf64_Rela *)(image + from->sh_offset);
	long kept = 0, taken = 0, entries = from->sh_size / sizeof(*rela);
	Elf64_Rela *moved = calloc(entries + 1, sizeof(*moved));
	Elf64_Shdr *to = &sections[count];
	char name[256];

	for (long i = 0; i < entries; i++) {
		if (symbols()[ELF64_R_SYM(rela[i].r_info)].st_shndx == SHN_LIVEPATCH)
			moved[taken++] = rela[i];
		else
			rela[kept++] = rela[i];
	}
	if (!taken)
		return;
	*to = *from;
	from->sh_size = kept * sizeof(*rela);
	to->sh_flags |= SHF_RELA_LIVEPATCH | SHF_ALLOC;
	to->sh_size = taken * sizeof(*moved);
	to->sh_offset = append(moved, to->sh_size);
	snprintf(name, sizeof(name), ".klp.rela.%s.%s", object, names + sections[from->sh_info].sh_name);
	to->sh_name = names_size;
	strcpy(names + names_size, name);
	names_size += strlen(name) + 1;
	printf("%s: %ld relocations\n", name, taken);
	count++;
}

int main(int argc, char **argv)
{
	const Elf64_Ehdr *old;
	Elf64_Ehdr *ehdr;
	int i, old_count;
	FILE *file;
	long at;

	if (argc < 2)
		return 1;
	read_file(argv[1]);
	old = (Elf64_Ehdr *)image;
	old_count = count = old->e_shnum;
	sections = calloc(2 * count, sizeof(*sections));
	memcpy(sections, image + old->e_shoff, count * sizeof(*sections));
	i = old->e_shstrndx;
	names_size = sections[i].sh_size;
	names = malloc(names_size + 256 * count);
	memcpy(names, image + sections[i].sh_offset, names_size);
	for (i = 0; i < old_count; i++)
		if (sections[i].sh_type == SHT_SYMTAB)
			mark_symbols(&sections[i]);
	if (!object[0]) {
		fprintf(stderr, "%s: no symbol begins with " PREFIX "\n", argv[1]);
		return 1;
	}
	for (i = 0; i < old_count; i++)
		if (sections[i].sh_type == SHT_RELA)
			move_relocations(&sections[i]);
	i = ((Elf64_Ehdr *)image)->e_shstrndx;
	sections[i].sh_offset = append(names, names_size);
	sections[i].sh_size = names_size;
	at = append(sections, count * sizeof(*sections));
	ehdr = (Elf64_Ehdr *)image;
	ehdr->e_shoff = at;
	ehdr->e_shnum = count;
	file = fopen(argv[1], "wb");
	if (!file || fwrite(image, 1, size, file) != (size_t)size || fclose(file))
		return 1;
	return 0;
}
