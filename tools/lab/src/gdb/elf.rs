//! An ELF file of debug sections, for code that is not in it.

use object::LittleEndian as LE;
use object::elf;
use object::endian::{U16, U32, U64};
use object::pod::bytes_of;
use std::ops::Range;

/// The file: a section without bytes for each range of `code`, `symbols` for functions there, and `sections`.
pub(super) fn file(code: &[Range<u64>], symbols: &[(String, u64)], sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut names = vec![0];
    let mut name = |name: &str| {
        let at = names.len();
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        u32::try_from(at).unwrap_or(0)
    };
    let mut table = bytes_of(&elf::Sym64::<LE>::default()).to_vec();
    for (title, address) in symbols {
        let section = code
            .iter()
            .position(|range| range.contains(address))
            .map_or(0, |index| index + 1);
        let symbol = elf::Sym64 {
            st_name: U32::new(LE, name(title)),
            st_info: elf::SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
            st_other: elf::SymbolOther::default(),
            st_shndx: U16::new(LE, elf::SymbolSection(u16::try_from(section).unwrap_or(0))),
            st_value: U64::new(LE, *address),
            st_size: U64::default(),
        };
        table.extend_from_slice(bytes_of(&symbol));
    }
    let mut headers = vec![header(0, elf::SHT_NULL, 0..0)];
    for range in code {
        let mut section = header(name(".text"), elf::SHT_NOBITS, 0..range.end - range.start);
        section.sh_addr.set(LE, range.start);
        section.sh_flags.set(LE, elf::SHF_ALLOC | elf::SHF_EXECINSTR);
        headers.push(section);
    }
    let mut bytes = vec![0; size_of::<elf::FileHeader64<LE>>()];
    for (title, data) in sections {
        headers.push(header(name(title), elf::SHT_PROGBITS, append(&mut bytes, data)));
    }
    let (symtab, own) = (name(".symtab"), name(".strtab"));
    let mut symtab = header(symtab, elf::SHT_SYMTAB, append(&mut bytes, &table));
    symtab.sh_entsize.set(LE, size_of::<elf::Sym64<LE>>() as u64);
    symtab
        .sh_link
        .set(LE, u32::try_from(headers.len() + 1).unwrap_or(0));
    symtab.sh_info.set(LE, 1);
    headers.push(symtab);
    headers.push(header(own, elf::SHT_STRTAB, append(&mut bytes, &names)));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let start_of_table = bytes.len() as u64;
    for section in &headers {
        bytes.extend_from_slice(bytes_of(section));
    }
    let count = u16::try_from(headers.len()).unwrap_or(u16::MAX);
    let start = file_header(start_of_table, count);
    bytes[..size_of_val(&start)].copy_from_slice(bytes_of(&start));
    bytes
}

/// Where `data` lies once it is behind `bytes`.
fn append(bytes: &mut Vec<u8>, data: &[u8]) -> Range<u64> {
    let start = bytes.len() as u64;
    bytes.extend_from_slice(data);
    start..bytes.len() as u64
}

fn header(name: u32, kind: elf::SectionType, place: Range<u64>) -> elf::SectionHeader64<LE> {
    elf::SectionHeader64 {
        sh_name: U32::new(LE, name),
        sh_type: U32::new(LE, kind),
        sh_flags: U64::default(),
        sh_addr: U64::default(),
        sh_offset: U64::new(LE, place.start),
        sh_size: U64::new(LE, place.end - place.start),
        sh_link: U32::default(),
        sh_info: U32::default(),
        sh_addralign: U64::new(LE, 1),
        sh_entsize: U64::default(),
    }
}

/// The file's own header; the last of `count` sections has the names.
fn file_header(table: u64, count: u16) -> elf::FileHeader64<LE> {
    let length = |bytes: usize| U16::new(LE, u16::try_from(bytes).unwrap_or(0));
    elf::FileHeader64 {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(LE, elf::ET_EXEC),
        e_machine: U16::new(LE, elf::EM_X86_64),
        e_version: U32::new(LE, 1),
        e_entry: U64::default(),
        e_phoff: U64::default(),
        e_shoff: U64::new(LE, table),
        e_flags: U32::default(),
        e_ehsize: length(size_of::<elf::FileHeader64<LE>>()),
        e_phentsize: U16::default(),
        e_phnum: U16::default(),
        e_shentsize: length(size_of::<elf::SectionHeader64<LE>>()),
        e_shnum: U16::new(LE, count),
        e_shstrndx: U16::new(LE, elf::SymbolSection(count - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

    #[test]
    fn it_is_read_by_a_reader_that_is_not_ours() {
        let bytes = file(
            &[0x10_1000..0x10_1800, 0x10_3000..0x10_3010],
            &[("DriverEntry".into(), 0x10_3004)],
            &[(".debug_info", vec![1, 2, 3])],
        );
        let file = object::File::parse(&*bytes).unwrap();
        let code: Vec<_> = file
            .sections()
            .filter(|section| section.name() == Ok(".text"))
            .map(|section| (section.address(), section.size()))
            .collect();
        assert_eq!(code, [(0x10_1000, 0x800), (0x10_3000, 0x10)]);
        let symbol = file.symbol_by_name("DriverEntry").unwrap();
        assert_eq!((symbol.address(), symbol.kind()), (0x10_3004, SymbolKind::Text));
        assert_eq!(
            file.section_by_name(".debug_info").unwrap().data(),
            Ok(&[1, 2, 3][..])
        );
    }
}
