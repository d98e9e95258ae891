//! The storage seam: what the append side asks of a file system, and the real one.
//!
//! Deliberately narrow and raw: writes may be short, calls may be interrupted, anything may fail. The loops that make
//! this dependable ([`write_all_at`]) stand above the seam, so that they run in tests with a hostile storage below.

mod directory;
#[cfg(all(loom, feature = "testing"))]
pub mod model;
#[cfg(feature = "testing")]
pub mod recording;
mod remedy;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use directory::DirectoryStorage;
pub use remedy::remedy;

/// A directory that holds a log. Names are plain file names in it.
pub trait Storage: Send + Sync {
    /// Makes a new file for writing. Fails with `AlreadyExists` if the name is taken.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file for writing, as it is.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames a file, over another one if there is one. Durable after [`Storage::sync_directory`].
    ///
    /// # Errors
    /// Whatever the file system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Storage::sync_directory`].
    ///
    /// # Errors
    /// Whatever the file system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names of the directory durable.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn sync_directory(&self) -> io::Result<()>;

    /// Takes the exclusive lock `name`, held until the result is dropped or the process dies. `None` if another
    /// process, or this one, holds it.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Send + Sync>>>;

    /// Where `name` is, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A file being written.
pub trait StorageFile: Send + Sync {
    /// Writes some of `bytes` at `offset`; how many.
    ///
    /// # Errors
    /// Whatever the file system says, `Interrupted` included.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes sure that writing the first `length` bytes cannot fail for want of space. The file is then at least as
    /// long; bytes not yet written read as zero.
    ///
    /// # Errors
    /// `StorageFull`, or `Unsupported` where the file system has no such call.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Makes everything written before this call durable, with whatever is needed to read it back.
    ///
    /// # Errors
    /// Whatever the file system says. After an error, nothing can be concluded from a later success on this file.
    fn sync_data(&self) -> io::Result<()>;
}

/// Writes all of `bytes`, however many calls that takes.
///
/// # Errors
/// The first error other than `Interrupted`; `WriteZero` if the storage accepts nothing.
pub fn write_all_at(file: &dyn StorageFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Runs `call` again as long as it is interrupted.
///
/// # Errors
/// Those of `call`, except `Interrupted`.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
