//! A volume in memory, for drivers that open files: drive C and `\SystemRoot` on it, with the directories that every Windows has. It is empty at
//! each boot, and keeps what a driver leaves there when that is unloaded.

use crate::lock::IrqLock;
use crate::status;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// `FILE_SUPERSEDE` to `FILE_OVERWRITE_IF`.
pub mod disposition {
    #![allow(missing_docs, reason = "the names are NT's")]
    pub const SUPERSEDE: u32 = 0;
    pub const OPEN: u32 = 1;
    pub const CREATE: u32 = 2;
    pub const OPEN_IF: u32 = 3;
    pub const OVERWRITE: u32 = 4;
    pub const OVERWRITE_IF: u32 = 5;
}

/// `FILE_SUPERSEDED` to `FILE_OVERWRITTEN`: what came of it.
const SUPERSEDED: u64 = 0;
const OPENED: u64 = 1;
const CREATED: u64 = 2;
const OVERWRITTEN: u64 = 3;

/// The longest file. With [`MOST`] the volume is never larger than the machine can bear.
pub const LONGEST: u64 = 1 << 20;
/// How many files and directories there can be.
const MOST: usize = 64;

/// What of reading, writing and deleting a handle does, or lets others do; the bits are those of `FILE_SHARE_READ`, `_WRITE` and `_DELETE`.
pub type Uses = u32;

struct Node {
    is_directory: bool,
    bytes: Vec<u8>,
    is_delete_pending: bool,
    /// Of each handle what it does, and what it lets others do.
    opens: Vec<(Uses, Uses)>,
}

impl Node {
    fn new(is_directory: bool) -> Self {
        Self {
            is_directory,
            bytes: Vec::new(),
            is_delete_pending: false,
            opens: Vec::new(),
        }
    }

    /// `IoCheckShareAccess`.
    fn is_shared(&self, uses: Uses, share: Uses) -> bool {
        let users = || self.opens.iter().filter(|&&(theirs, _)| theirs != 0);
        uses == 0 || users().all(|&(theirs, allows)| uses & !allows == 0 && theirs & !share == 0)
    }
}

/// By their paths on the volume, in capitals; the volume's own is empty.
static NODES: IrqLock<BTreeMap<String, Node>> = IrqLock::new(BTreeMap::new());

/// Where the volume is found.
const VOLUMES: [(&str, &str); 4] = [
    (r"\SYSTEMROOT", r"\WINDOWS"),
    (r"\??\C:", ""),
    (r"\DOSDEVICES\C:", ""),
    (r"\DEVICE\HARDDISKVOLUME1", ""),
];
const DIRECTORIES: [&str; 5] = [
    "",
    r"\WINDOWS",
    r"\WINDOWS\SYSTEM32",
    r"\WINDOWS\SYSTEM32\DRIVERS",
    r"\WINDOWS\TEMP",
];

/// Does `work` with the volume, which there is from the first time on.
fn with<R>(work: impl FnOnce(&mut BTreeMap<String, Node>) -> R) -> R {
    let mut nodes = NODES.lock();
    if nodes.is_empty() {
        nodes.extend(DIRECTORIES.map(|path| (path.to_string(), Node::new(true))));
    }
    work(&mut nodes)
}

/// The path on the volume that a name of NT's leads to.
///
/// # Errors
/// `STATUS_OBJECT_PATH_SYNTAX_BAD` for one that does not begin at the root, `STATUS_OBJECT_PATH_NOT_FOUND` elsewhere than on the volume,
/// `STATUS_OBJECT_NAME_INVALID` for what no file can be called.
pub fn path(name: &str) -> Result<String, i32> {
    if !name.starts_with('\\') {
        return Err(status::OBJECT_PATH_SYNTAX_BAD);
    }
    let name = name.to_uppercase();
    let place = VOLUMES.iter().find_map(|(from, to)| {
        let rest = name.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('\\')).then(|| (*to).to_string() + rest)
    });
    let mut path = place.ok_or(status::OBJECT_PATH_NOT_FOUND)?;
    if path.ends_with('\\') {
        path.pop();
    }
    let is_name = |part: &str| !part.is_empty() && !part.contains(['*', '?', '"', '<', '>', '|', ':', '/']);
    if path.split('\\').skip(1).all(is_name) {
        Ok(path)
    } else {
        Err(status::OBJECT_NAME_INVALID)
    }
}

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// One of [`disposition`].
    pub disposition: u32,
    /// What the handle does.
    pub uses: Uses,
    /// What it lets others do.
    pub share: Uses,
    /// It must be a directory, or must be none; either if `None`.
    pub directory: Option<bool>,
    /// `FILE_DELETE_ON_CLOSE`.
    pub delete_on_close: bool,
    /// `FILE_SYNCHRONOUS_IO_...`.
    pub is_synchronous: bool,
}

/// An open file: what handles share that were duplicated, were there any.
pub struct OpenFile {
    path: String,
    uses: Uses,
    share: Uses,
    deletes: AtomicBool,
    is_synchronous: bool,
    position: IrqLock<u64>,
}

/// Opens or makes the file of a path; with what `IO_STATUS_BLOCK.Information` says of it.
///
/// # Errors
/// As `ZwCreateFile`'s page has them.
pub fn open(path: String, how: Opening) -> Result<(Arc<OpenFile>, u64), i32> {
    let information = with(|nodes| {
        let parent = path.rsplit_once('\\').map(|(parent, _)| parent);
        match parent.map(|parent| nodes.get(parent)) {
            None
            | Some(Some(Node {
                is_directory: true, ..
            })) => {}
            _ => return Err(status::OBJECT_PATH_NOT_FOUND),
        }
        let count = nodes.len();
        let node = match nodes.get_mut(&path) {
            Some(node) => node,
            None if matches!(how.disposition, disposition::OPEN | disposition::OVERWRITE) => {
                return Err(status::OBJECT_NAME_NOT_FOUND);
            }
            None if count == MOST => return Err(status::DISK_FULL),
            None => {
                let mut node = Node::new(how.directory == Some(true));
                node.opens.push((how.uses, how.share));
                nodes.insert(path.clone(), node);
                return Ok(CREATED);
            }
        };
        if how.disposition == disposition::CREATE {
            return Err(status::OBJECT_NAME_COLLISION);
        }
        match (how.directory, node.is_directory) {
            (Some(false), true) => return Err(status::FILE_IS_A_DIRECTORY),
            (Some(true), false) => return Err(status::NOT_A_DIRECTORY),
            _ => {}
        }
        if node.is_delete_pending {
            return Err(status::DELETE_PENDING);
        }
        if !node.is_shared(how.uses, how.share) {
            return Err(status::SHARING_VIOLATION);
        }
        node.opens.push((how.uses, how.share));
        let emptied = match how.disposition {
            disposition::SUPERSEDE => SUPERSEDED,
            disposition::OVERWRITE | disposition::OVERWRITE_IF => OVERWRITTEN,
            _ => return Ok(OPENED),
        };
        node.bytes.clear();
        Ok(emptied)
    })?;
    let file = OpenFile {
        path,
        uses: how.uses,
        share: how.share,
        deletes: AtomicBool::new(how.delete_on_close),
        is_synchronous: how.is_synchronous,
        position: IrqLock::new(0),
    };
    Ok((Arc::new(file), information))
}

/// Where a read or write begins.
#[derive(Clone, Copy, Debug)]
pub enum Offset {
    /// At that byte.
    At(u64),
    /// At the file's own position.
    Position,
    /// At the end.
    End,
}

impl OpenFile {
    /// Its path on the volume.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn node<R>(&self, work: impl FnOnce(&mut Node) -> Result<R, i32>) -> Result<R, i32> {
        // An open file's node stays.
        with(|nodes| {
            nodes
                .get_mut(&self.path)
                .map_or(Err(status::INVALID_HANDLE), work)
        })
    }

    /// The byte that an offset stands for, in a file of that length.
    fn begin(&self, offset: Offset, length: usize) -> Result<u64, i32> {
        match offset {
            Offset::At(byte) => Ok(byte),
            Offset::End => Ok(length as u64),
            // A file that is not synchronous has no position (`ZwReadFile`, ByteOffset).
            Offset::Position if !self.is_synchronous => Err(status::INVALID_PARAMETER),
            Offset::Position => Ok(*self.position.lock()),
        }
    }

    /// Up to `length` bytes.
    ///
    /// # Errors
    /// `STATUS_END_OF_FILE` behind the last one, `STATUS_INVALID_DEVICE_REQUEST` of a directory, `STATUS_INVALID_PARAMETER` without a position.
    pub fn read(&self, offset: Offset, length: u32) -> Result<Vec<u8>, i32> {
        let (begin, bytes) = self.node(|node| {
            if node.is_directory {
                return Err(status::INVALID_DEVICE_REQUEST);
            }
            let begin = self.begin(offset, node.bytes.len())?;
            let start = usize::try_from(begin).unwrap_or(usize::MAX).min(node.bytes.len());
            let end = node.bytes.len().min(start.saturating_add(length as usize));
            Ok((begin, node.bytes[start..end].to_vec()))
        })?;
        if bytes.is_empty() && length != 0 {
            return Err(status::END_OF_FILE);
        }
        self.move_to(begin + bytes.len() as u64);
        Ok(bytes)
    }

    /// Writes, and makes the file longer where that is needed.
    ///
    /// # Errors
    /// `STATUS_DISK_FULL`, and as [`read`](Self::read).
    pub fn write(&self, offset: Offset, input: &[u8]) -> Result<(), i32> {
        let end = self.node(|node| {
            if node.is_directory {
                return Err(status::INVALID_DEVICE_REQUEST);
            }
            let begin = self.begin(offset, node.bytes.len())?;
            let end = begin.saturating_add(input.len() as u64);
            if end > LONGEST {
                return Err(status::DISK_FULL);
            }
            if !input.is_empty() {
                if node.bytes.len() < end as usize {
                    node.bytes.resize(end as usize, 0);
                }
                node.bytes[begin as usize..end as usize].copy_from_slice(input);
            }
            Ok(end)
        })?;
        self.move_to(end);
        Ok(())
    }

    fn move_to(&self, position: u64) {
        if self.is_synchronous {
            *self.position.lock() = position;
        }
    }

    /// `FILE_POSITION_INFORMATION`.
    pub fn position(&self) -> u64 {
        *self.position.lock()
    }

    /// Sets it.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER` for what is no position.
    pub fn set_position(&self, position: i64) -> Result<(), i32> {
        *self.position.lock() = u64::try_from(position).map_err(|_| status::INVALID_PARAMETER)?;
        Ok(())
    }

    /// Its length, whether it goes with its last handle, and whether it is a directory.
    pub fn standard(&self) -> (u64, bool, bool) {
        let facts =
            |node: &mut Node| Ok((node.bytes.len() as u64, node.is_delete_pending, node.is_directory));
        self.node(facts).unwrap_or_default()
    }

    /// `FILE_END_OF_FILE_INFORMATION`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn set_length(&self, length: i64) -> Result<(), i32> {
        let length = u64::try_from(length).map_err(|_| status::INVALID_PARAMETER)?;
        if length > LONGEST {
            return Err(status::DISK_FULL);
        }
        self.node(|node| {
            if node.is_directory {
                return Err(status::INVALID_PARAMETER);
            }
            node.bytes.resize(length as usize, 0);
            Ok(())
        })
    }

    /// `FILE_DISPOSITION_INFORMATION`: whether it goes with its last handle.
    ///
    /// # Errors
    /// `STATUS_DIRECTORY_NOT_EMPTY`.
    pub fn set_deleted(&self, deleted: bool) -> Result<(), i32> {
        with(|nodes| {
            let below = self.path.clone() + "\\";
            if deleted && nodes.keys().any(|path| path.starts_with(&below)) {
                return Err(status::DIRECTORY_NOT_EMPTY);
            }
            if let Some(node) = nodes.get_mut(&self.path) {
                node.is_delete_pending = deleted;
            }
            Ok(())
        })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.deletes.load(Relaxed) {
            // A directory with something in it stays.
            let _ = self.set_deleted(true);
        }
        let gone = with(|nodes| {
            let node = nodes.get_mut(&self.path)?;
            let own = node
                .opens
                .iter()
                .position(|&open| open == (self.uses, self.share))?;
            node.opens.swap_remove(own);
            let is_last = node.is_delete_pending && node.opens.is_empty();
            is_last.then(|| nodes.remove(&self.path))
        });
        drop(gone);
    }
}
