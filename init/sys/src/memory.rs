//! The memory of this program itself.
//!
//! What a program maps of its own file stays mapped once it was used, and counts as in use: code that
//! only its beginning needed, too. [`forget_code`] gives that back; what is used again comes back by itself.
//! [`give_back_heap`] does the same for memory that was asked for and is free again.
#![allow(unsafe_code)]

use std::io;

/// Lets go of the pages of this program's code and constants. What runs on brings its own back, from the page
/// cache as a rule. Parts of the file that were changed in memory are left alone.
///
/// # Errors
/// Those of madvise(2).
pub fn forget_code() -> io::Result<()> {
    // SAFETY: the kernel put the program headers' address and count there, and they stay for as long as it runs.
    let headers = unsafe {
        let at = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        let count = usize::try_from(libc::getauxval(libc::AT_PHNUM)).unwrap_or(0);
        if at.is_null() { &[] } else { std::slice::from_raw_parts(at, count) }
    };
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    // Without a header of the headers the program was not moved.
    let moved_by = own.map_or(0, |own| (headers.as_ptr() as u64).wrapping_sub(own.p_vaddr));
    // SAFETY: asks for a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(1);
    for part in headers.iter().filter(|part| part.p_type == libc::PT_LOAD && part.p_flags & libc::PF_W == 0) {
        let begin = moved_by.wrapping_add(part.p_vaddr) / page * page;
        let end = moved_by.wrapping_add(part.p_vaddr).wrapping_add(part.p_memsz);
        let length = usize::try_from(end.saturating_sub(begin)).unwrap_or(0);
        // SAFETY: the range is one that the kernel mapped from a file, and that cannot be written to: its pages
        // are the file's, and are read from it again.
        if unsafe { libc::madvise(begin as *mut libc::c_void, length, libc::MADV_DONTNEED) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives back what lies free on the heap, between what is in use as well.
pub fn give_back_heap() {
    // SAFETY: it takes a number, and looks at free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KiB of this program's code that are mapped.
    fn mapped() -> u64 {
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut ours = false;
        let mut sum = 0;
        for line in maps.lines() {
            let first = line.split(' ').next().unwrap_or_default();
            if !first.ends_with(':') {
                ours = line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap());
            } else if ours && first == "Rss:" {
                sum += line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn code_that_is_not_in_use_is_given_back_and_the_program_goes_on() {
        // Much of this test program is used once it has listed a directory and printed something.
        let listed = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| format!("{entry:?}")).count();
        assert!(listed > 0);
        let before = mapped();
        forget_code().unwrap();
        let after = mapped();
        assert!(after > 0 && after < before, "{before} KiB before, {after} after");
    }
}
