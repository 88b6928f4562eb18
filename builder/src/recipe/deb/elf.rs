//! What an ELF file needs at run time: its interpreter, its libraries, where it looks for them.
//!
//! Reads bytes, opens nothing. Files that are no ELF files need nothing; damaged ones are errors.

use object::elf;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

/// What one ELF file needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The dynamic loader (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// Libraries by soname (`DT_NEEDED`), in order.
    pub libraries: Vec<String>,
    /// Directories that it looks into first (`DT_RUNPATH`, `DT_RPATH`), with `$ORIGIN` as written.
    pub search: Vec<String>,
}

/// Why an ELF file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a damaged ELF file: {0}")]
pub struct ElfError(String);

/// The needs of a file with these bytes; none for what is no ELF file.
///
/// # Errors
/// It is an ELF file of 64 bits that contradicts itself.
pub fn needs(bytes: &[u8]) -> Result<Needs, ElfError> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(Needs::default());
    }
    let damaged = |error: object::read::Error| ElfError(error.to_string());
    let header = Header::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let segments = header.program_headers(endian, bytes).map_err(damaged)?;
    let mut needs = Needs::default();
    for segment in segments {
        if let Some(interpreter) = segment.interpreter(endian, bytes).map_err(damaged)? {
            needs.interpreter = Some(String::from_utf8_lossy(interpreter).into_owned());
        }
        let Some(entries) = segment.dynamic(endian, bytes).map_err(damaged)? else { continue };
        let strings = string_table(bytes, endian, segments, entries);
        let end = entries.iter().position(|entry| entry.tag(endian) == elf::DT_NULL).unwrap_or(entries.len());
        for entry in entries.get(..end).unwrap_or_default() {
            let tag = entry.tag(endian);
            if !matches!(tag, elf::DT_NEEDED | elf::DT_RUNPATH | elf::DT_RPATH) {
                continue;
            }
            let name = string_at(strings, entry.d_val(endian))
                .ok_or_else(|| ElfError("a dynamic entry without its name".to_owned()))?;
            if tag == elf::DT_NEEDED {
                needs.libraries.push(name);
            } else {
                needs.search.extend(name.split(':').filter(|part| !part.is_empty()).map(str::to_owned));
            }
        }
    }
    Ok(needs)
}

type Header = elf::FileHeader64<object::Endianness>;

/// The table that dynamic entries name things in. They give its address at run time; a segment
/// says where that is in the file. Empty where there is none.
fn string_table<'a>(
    bytes: &'a [u8],
    endian: object::Endianness,
    segments: &[elf::ProgramHeader64<object::Endianness>],
    entries: &[elf::Dyn64<object::Endianness>],
) -> &'a [u8] {
    let value = |tag: i64| {
        entries.iter().find(|entry| entry.tag(endian) == tag).map_or(0, |entry| entry.d_val(endian))
    };
    let (at, size) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ));
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| segment.data_range(endian, bytes, at, size).ok().flatten())
        .unwrap_or_default()
}

fn string_at(strings: &[u8], offset: u64) -> Option<String> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_elf_file_needs_nothing() {
        assert_eq!(needs(b"#!/bin/sh\n").unwrap(), Needs::default());
        assert_eq!(needs(b"").unwrap(), Needs::default());
    }

    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        // This test itself is one, wherever it was built for a glibc.
        let found = needs(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(found.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(found.libraries.iter().any(|name| name == "libc.so.6"), "{found:?}");
    }

    #[test]
    fn a_truncated_elf_file_is_an_error_or_needs_less_but_no_panic() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        for length in (4..4096).step_by(7) {
            let _ = needs(&whole[..length]);
        }
    }
}
