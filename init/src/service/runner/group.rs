//! A service's control group: made, watched, killed, removed.
//!
//! What its limits are in the kernel's files is `cgroup`'s. Whether it is empty is read from
//! cgroup.events, whose change epoll reports while somebody waits for it.

use std::fs::{self, File};
use std::io::{self, ErrorKind::NotFound, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use machine_config::service::{Place, Unit};
use node_sys::block;
use node_sys::event::{Interest, Poll};
use node_sys::process::Signal;

use crate::cgroup;
use crate::supervisor::token::Token;

/// Where the data of services is, on the disk that they may be limited on.
const DATA: &str = "/var";
/// More than cgroup.events and memory.events have.
const EVENTS_MAX: usize = 1024;
/// So many are sent a signal in one turn; whoever is beyond that hears nothing of it, and is killed when the time is
/// over.
const SIGNALLED_MAX: usize = 256;

/// A control group that exists.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    directory: File,
    /// Opened when somebody asks: most services start once and run.
    events: Option<File>,
    service: Place,
    /// Whether a change of its events wakes us: only while somebody waits for its end, or every start would.
    watched: bool,
    /// Its count of kills for memory; a kernel may have no memory controller.
    memory: Option<File>,
    oom_kills: u64,
    /// Whether it was seen empty since somebody was last born into it: nobody else comes into it.
    empty: bool,
    /// Since Linux 6.12 a process that is cloned into a group where cgroup.kill was ever written is
    /// killed at birth: the kernel compares the group's count of kills with that of the parent's.
    killed: bool,
}

impl Group {
    /// Makes the group of `unit`, or takes over what is there of it.
    ///
    /// # Errors
    /// What to tell people: the group cannot be made, or a limit that was asked for cannot be set.
    pub(super) fn make(unit: &Unit, service: Place, poll: &Poll) -> Result<Self, String> {
        let path = Path::new(cgroup::SERVICES).join(unit.name.as_str());
        let make = || -> io::Result<Group> {
            fs::create_dir_all(&path)?;
            let disk = match unit.limits.io_max {
                Some(_) => block::disk_at(Path::new(DATA))?,
                None => String::new(),
            };
            for (file, value) in cgroup::settings(&unit.limits, unit.oom_policy, &disk) {
                match File::options().write(true).open(path.join(file)) {
                    Err(error) if error.kind() == NotFound && cgroup::BY_DEFAULT.contains(&file) => {}
                    opened => opened?.write_all(value.as_bytes())?,
                }
            }
            let memory = File::open(path.join("memory.events")).ok();
            if let Some(memory) = &memory {
                poll.add(memory, Token::Group(service).to_raw(), Interest::Change)?;
            }
            let directory = File::open(&path)?;
            let mut group = Group {
                path: path.clone(),
                directory,
                events: None,
                service,
                watched: false,
                memory,
                oom_kills: 0,
                empty: false,
                killed: false,
            };
            group.oom_kills = group.read_oom_kills();
            Ok(group)
        };
        make().map_err(|error| format!("making the control group {}: {error}", path.display()))
    }

    /// Where a process is born into it, now.
    pub(super) fn directory(&mut self) -> BorrowedFd<'_> {
        self.empty = false;
        self.directory.as_fd()
    }

    /// Whether nothing can be started in it any more.
    pub(super) fn is_spent(&self) -> bool {
        self.killed
    }

    /// Takes over what a predecessor knew.
    pub(super) fn set_spent(&mut self, spent: bool) {
        self.killed = spent;
    }

    /// Who is in it, the oldest first.
    pub(super) fn processes(&self) -> Vec<i32> {
        processes(&self.path).unwrap_or_default()
    }

    /// From now on its becoming empty is told.
    pub(super) fn watch(&mut self, poll: &Poll) -> io::Result<()> {
        if !self.watched {
            let token = Token::Group(self.service).to_raw();
            poll.add(self.events()?, token, Interest::Change)?;
            self.watched = true;
        }
        Ok(())
    }

    /// Nobody waits for its end any more: its next beginning is no news.
    pub(super) fn unwatch(&mut self, poll: &Poll) {
        if std::mem::take(&mut self.watched)
            && let Some(events) = &self.events
        {
            let _ = poll.remove(events);
        }
    }

    /// Whether another instance can have it as it is: nobody was killed in it as a whole, nobody is in it, and no
    /// groups were made below.
    pub(super) fn is_as_new(&mut self) -> bool {
        let below = self.directory.metadata().map_or(u64::MAX, |found| found.nlink().saturating_sub(2));
        !self.killed && below == 0 && self.is_empty()
    }

    /// Sends everybody in it, and in the groups below, a signal; that somebody has ended meanwhile is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let mut done = Ok(());
        for pid in members(&self.path)?.into_iter().take(SIGNALLED_MAX) {
            let is_it = || service_of(pid).is_some_and(|name| self.path.ends_with(name));
            match node_sys::signal::send(pid, signal, is_it) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => done = Err(error),
                _ => {}
            }
        }
        done
    }

    /// Kills everybody in it; where nobody is, it stays as it is.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        self.killed = true;
        File::options().write(true).open(self.path.join("cgroup.kill"))?.write_all(b"1")
    }

    /// Whether nobody is in it. When that cannot be told it counts as busy: a second copy of a
    /// service would be worse than none.
    pub(super) fn is_empty(&mut self) -> bool {
        self.empty = self.empty || self.events().and_then(reread).is_ok_and(|text| cgroup::is_empty(&text));
        self.empty
    }

    fn events(&mut self) -> io::Result<&File> {
        let events = match self.events.take() {
            Some(events) => events,
            None => File::open(self.path.join("cgroup.events"))?,
        };
        Ok(self.events.insert(events))
    }

    /// Whether the kernel has killed one of it for memory since this was last asked.
    pub(super) fn was_out_of_memory(&mut self) -> bool {
        let kills = self.read_oom_kills();
        kills > std::mem::replace(&mut self.oom_kills, kills)
    }

    fn read_oom_kills(&self) -> u64 {
        let text = self.memory.as_ref().and_then(|memory| reread(memory).ok());
        cgroup::oom_kills(&text.unwrap_or_default())
    }

    /// Removes it, if nobody is in it.
    pub(super) fn remove(&self, poll: &Poll) -> io::Result<()> {
        remove_tree(&self.path)?;
        // Its descriptors are closed next, which is all that the kernel needs to forget them.
        let events = self.events.as_ref().filter(|_| self.watched);
        for watched in [events, self.memory.as_ref()].into_iter().flatten() {
            let _ = poll.remove(watched);
        }
        Ok(())
    }
}

/// Reading also tells the kernel that the present content is known. One call: these files are short, and
/// the kernel makes all of the text for each.
fn reread(file: &File) -> io::Result<String> {
    let mut bytes = [0; EVENTS_MAX];
    let len = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned())
}

fn processes(path: &Path) -> io::Result<Vec<i32>> {
    let text = fs::read_to_string(path.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Who is in a group, and in those that the service made below.
fn members(path: &Path) -> io::Result<Vec<i32>> {
    let mut found = processes(path)?;
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(members(&entry.path())?);
        }
    }
    Ok(found)
}

/// A service may have made groups of its own below: they go first.
fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::new(
            error.kind(),
            format!("removing the control group {}: {error}", path.display()),
        )),
        _ => Ok(()),
    }
}

/// The service in whose group process `pid` is, as the kernel says now.
pub(super) fn service_of(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    cgroup::service(&text).map(str::to_owned)
}
