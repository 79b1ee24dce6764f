//! The kernel's requests, put to the [`Files`]; no rule stands here.
#![allow(clippy::as_conversions, reason = "the kernel's numbers are in the bounds of what it was told")]

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    FileAttr, FileType, Filesystem, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
};
use libc::{EINVAL, EOPNOTSUPP, FALLOC_FL_KEEP_SIZE, c_int};

use super::files::{About, Files, ROOT};

/// How long the kernel may believe an answer: nobody changes anything behind its back.
const LASTING: Duration = Duration::from_secs(3_600);
const BLOCK: u32 = 4_096;
/// How much room it says it has: a gigabyte.
const BLOCKS: u64 = 1 << 18;

/// The disk, as the kernel speaks to it.
pub(super) struct Fuse {
    files: Arc<Mutex<Files>>,
    user: u32,
    group: u32,
}

impl Fuse {
    pub(super) fn new(files: Arc<Mutex<Files>>, user: u32, group: u32) -> Self {
        Self { files, user, group }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, about: About) -> FileAttr {
        FileAttr {
            ino: about.number,
            size: about.length,
            blocks: about.length.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if about.is_folder { FileType::Directory } else { FileType::RegularFile },
            perm: (about.mode & 0o7777) as u16,
            nlink: 1,
            uid: self.user,
            gid: self.group,
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        }
    }

    fn entry(&self, found: Result<About, c_int>, reply: ReplyEntry) {
        match found {
            Ok(about) => reply.entry(&LASTING, &self.attributes(about), 0),
            Err(error) => reply.error(error),
        }
    }
}

fn empty(done: Result<(), c_int>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Fuse {
    fn lookup(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEntry) {
        let found = { self.files().find(parent, name) };
        self.entry(found.and_then(|number| self.files().about(number)), reply);
    }

    fn getattr(&mut self, _: &Request<'_>, number: u64, _: Option<u64>, reply: ReplyAttr) {
        let about = { self.files().about(number) };
        match about {
            Ok(about) => reply.attr(&LASTING, &self.attributes(about)),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &mut self,
        request: &Request<'_>,
        number: u64,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        length: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<u64>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<u32>,
        reply: ReplyAttr,
    ) {
        let set = || {
            let mut files = self.files();
            mode.map_or(Ok(()), |mode| files.set_mode(number, mode))?;
            length.map_or(Ok(()), |length| files.set_length(number, length as usize))
        };
        match set() {
            Ok(()) => self.getattr(request, number, None, reply),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let made = { self.files().make_folder(parent, name, mode) };
        self.entry(made.and_then(|number| self.files().about(number)), reply);
    }

    fn create(
        &mut self,
        _: &Request<'_>,
        parent: u64,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = { self.files().make_file(parent, name, mode) };
        match made.and_then(|number| self.files().about(number)) {
            Ok(about) => reply.created(&LASTING, &self.attributes(about), 0, 0, 0),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        empty(self.files().remove(parent, name), reply);
    }

    fn rmdir(&mut self, _: &Request<'_>, parent: u64, name: &OsStr, reply: ReplyEmpty) {
        empty(self.files().remove(parent, name), reply);
    }

    fn rename(
        &mut self,
        _: &Request<'_>,
        parent: u64,
        name: &OsStr,
        new_parent: u64,
        new_name: &OsStr,
        flags: u32,
        reply: ReplyEmpty,
    ) {
        let renamed = match (parent == new_parent, flags) {
            (true, 0) => self.files().rename(parent, name, new_name),
            _ => Err(EINVAL),
        };
        empty(renamed, reply);
    }

    fn open(&mut self, _: &Request<'_>, _: u64, _: i32, reply: ReplyOpen) {
        match self.files().alive() {
            Ok(()) => reply.opened(0, 0),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &mut self,
        _: &Request<'_>,
        number: u64,
        _: u64,
        offset: i64,
        size: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyData,
    ) {
        match self.files().read(number, offset as usize, size as usize) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &mut self,
        _: &Request<'_>,
        number: u64,
        _: u64,
        offset: i64,
        bytes: &[u8],
        _: u32,
        _: i32,
        _: Option<u64>,
        reply: ReplyWrite,
    ) {
        match self.files().write(number, offset as usize, bytes) {
            Ok(()) => reply.written(bytes.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&mut self, _: &Request<'_>, _: u64, _: u64, _: u64, reply: ReplyEmpty) {
        // A file that is closed is not synced.
        reply.ok();
    }

    fn fsync(&mut self, _: &Request<'_>, number: u64, _: u64, _: bool, reply: ReplyEmpty) {
        empty(self.files().sync(number), reply);
    }

    fn fsyncdir(&mut self, _: &Request<'_>, number: u64, _: u64, _: bool, reply: ReplyEmpty) {
        empty(self.files().sync(number), reply);
    }

    fn readdir(&mut self, _: &Request<'_>, number: u64, _: u64, offset: i64, mut reply: ReplyDirectory) {
        let mut files = self.files();
        let names = match files.list(number) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let dots = [".", ".."].map(|dot| (dot.into(), ROOT));
        for ((name, named), next) in dots.into_iter().chain(names).zip(1..).skip(offset as usize) {
            let is_folder = files.about(named).is_ok_and(|about| about.is_folder);
            let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(named, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&mut self, _: &Request<'_>, _: u64, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK, 255, BLOCK);
    }

    fn fallocate(&mut self, _: &Request<'_>, _: u64, _: u64, _: i64, _: i64, mode: i32, reply: ReplyEmpty) {
        // Room there is; a length that grows without a write is asked for by nobody here.
        empty(if mode == FALLOC_FL_KEEP_SIZE { self.files().alive() } else { Err(EOPNOTSUPP) }, reply);
    }
}
