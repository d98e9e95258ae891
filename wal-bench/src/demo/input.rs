//! The text that is counted: which files, in which order, in which shard.
//!
//! The list is made by the parent, once a run, and handed to the engine as a file: every life of the engine sees the same
//! input, up to the same length. The default input is copied first: it is source code that somebody may be editing.
//!
//! The log is faster than a folder of text is large, so text can be read several times: each round is sources of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::random::stable_hash;

/// Partitions, whatever the number of cores.
pub const SHARDS: usize = 64;

/// More text than this makes the demo longer, not better.
pub const BYTES_MAX: u64 = 64 << 20;

const TEXT_EXTENSIONS: [&str; 24] = [
    "rs", "md", "txt", "toml", "c", "h", "py", "json", "yml", "yaml", "sh", "S", "s", "cpp", "hpp", "html",
    "css", "js", "stderr", "orig", "lock", "csv", "tex", "adoc",
];

/// One source of the stream job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Absolute.
    pub path: PathBuf,
    /// How often the same file stands in the list before.
    pub round: u64,
    /// Read up to here.
    pub bytes: u64,
    /// Partition.
    pub shard: usize,
    modified: Option<SystemTime>,
}

/// All sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Ascending by round, then path.
    pub files: Vec<SourceFile>,
    /// Text files that were left out because there is enough without them.
    pub left_out: u64,
}

/// The shard of a source: a function of its name alone.
#[must_use]
pub fn shard_of(name: &str) -> usize {
    usize::try_from(stable_hash(name.as_bytes()) % SHARDS as u64).unwrap_or(0)
}

impl SourceFile {
    fn new(path: PathBuf, round: u64, bytes: u64, modified: Option<SystemTime>) -> Self {
        let mut file = Self { path, round, bytes, shard: 0, modified };
        file.shard = shard_of(&file.name());
        file
    }

    /// The name of the source in commits.
    #[must_use]
    pub fn name(&self) -> String {
        match self.round {
            0 => self.path.to_string_lossy().into_owned(),
            round => format!("{}#{round}", self.path.display()),
        }
    }

    /// Whether the file is still what it was when it was listed.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        fs::metadata(&self.path)
            .is_ok_and(|now| now.len() == self.bytes && now.modified().ok() == self.modified)
    }
}

impl Input {
    /// The text files of this workspace and of the unpacked sources of its dependencies.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn default_text() -> io::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let mut roots = vec![workspace.to_owned()];
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
        let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
        roots.extend(cargo.map(|cargo| cargo.join("registry/src")));
        roots.retain(|root| root.is_dir());
        Self::list(&roots, BYTES_MAX, is_text)
    }

    /// The file `path`, or the text files below it.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn below(path: &Path) -> io::Result<Self> {
        Self::list(&[path.to_owned()], u64::MAX, is_text)
    }

    /// A copy of this input in `folder`, or the one that is there from a former run.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn copied_to(&self, folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            let unfinished = folder.with_extension("unfinished");
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            fs::create_dir_all(&unfinished)?;
            for (number, file) in self.files.iter().enumerate() {
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                fs::copy(&file.path, unfinished.join(format!("{number:06}-{name}")))?;
            }
            fs::rename(&unfinished, folder)?;
        }
        Self::list(&[folder.to_owned()], u64::MAX, |_| true)
    }

    /// This input, `rounds` times over.
    #[must_use]
    pub fn repeated(&self, rounds: u64) -> Self {
        let again = |round| {
            self.files
                .iter()
                .map(move |file| SourceFile::new(file.path.clone(), round, file.bytes, file.modified))
        };
        Self { files: (0..rounds).flat_map(again).collect(), left_out: self.left_out }
    }

    fn list(roots: &[PathBuf], bytes_max: u64, wanted: fn(&Path) -> bool) -> io::Result<Self> {
        let mut files = Vec::new();
        for root in roots {
            collect(&root.canonicalize()?, true, wanted, &mut files)?;
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        let listed = files.len();
        let mut bytes = 0;
        files.retain(|file| {
            let fits = bytes + file.bytes <= bytes_max;
            bytes += if fits { file.bytes } else { 0 };
            fits
        });
        Ok(Self { left_out: (listed - files.len()) as u64, files })
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Writes the list for the engine.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn save(&self, list: &Path) -> io::Result<()> {
        let lines = self
            .files
            .iter()
            .map(|file| format!("{}\t{}\t{}\n", file.round, file.bytes, file.path.display()));
        fs::write(list, lines.collect::<String>())
    }

    /// Reads the list that [`Input::save`] wrote.
    ///
    /// # Errors
    /// Whatever the file system says; [`io::ErrorKind::InvalidData`] for lines that are none.
    pub fn load(list: &Path) -> io::Result<Self> {
        let file = |line: &str| {
            let (round, rest) = line.split_once('\t')?;
            let (bytes, path) = rest.split_once('\t')?;
            Some(SourceFile::new(PathBuf::from(path), round.parse().ok()?, bytes.parse().ok()?, None))
        };
        let text = fs::read_to_string(list)?;
        let files: Option<Vec<_>> = text.lines().map(file).collect();
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is no list", list.display()));
        Ok(Self { files: files.ok_or_else(invalid)?, left_out: 0 })
    }
}

/// Adds `path`, or what is below it. A file that was named itself counts as text whatever its name.
fn collect(
    path: &Path,
    is_root: bool,
    wanted: fn(&Path) -> bool,
    files: &mut Vec<SourceFile>,
) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // Gone since its folder was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_root => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        let name = path.file_name().unwrap_or_default();
        if !is_root && (name == "target" || name == ".git") {
            return Ok(());
        }
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), false, wanted, files)?;
        }
    } else if metadata.is_file() && (is_root || wanted(path)) && is_listable(path) && metadata.len() > 0 {
        files.push(SourceFile::new(path.to_owned(), 0, metadata.len(), metadata.modified().ok()));
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => TEXT_EXTENSIONS.iter().any(|known| extension == *known),
        None => path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            ["LICENSE", "README", "COPY", "NOTICE", "CHANGE"].iter().any(|start| name.starts_with(start))
        }),
    }
}

fn is_listable(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains(['\n', '\r']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_from_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let folder = directory.path().join("text");
        fs::create_dir_all(folder.join("target")).expect("a folder");
        for (name, text) in
            [("b.rs", "fn b"), ("a.txt", "a"), ("c.bin", "no"), ("target/d.rs", "no"), ("e.md", "")]
        {
            fs::write(folder.join(name), text).expect("a file");
        }
        let listed = Input::below(&folder).expect("listed");
        let names: Vec<_> = listed.files.iter().filter_map(|file| file.path.file_name()).collect();
        assert_eq!(names, ["a.txt", "b.rs"]);
        assert_eq!(listed.bytes(), 5);
        let input = listed.repeated(3);
        assert_eq!(input.bytes(), 15);
        let list = directory.path().join("list");
        input.save(&list).expect("saved");
        let loaded = Input::load(&list).expect("loaded");
        let facts = |input: &Input| -> Vec<_> {
            input.files.iter().map(|file| (file.name(), file.bytes, file.shard)).collect()
        };
        assert_eq!(facts(&loaded), facts(&input));
    }

    #[test]
    fn a_copy_stands_still() {
        let directory = tempfile::tempdir().expect("a directory");
        let (text, copy) = (directory.path().join("text"), directory.path().join("copy"));
        fs::create_dir(&text).expect("a folder");
        fs::write(text.join("LICENSE-MIT"), "may").expect("a file");
        let copied = || Input::below(&text).expect("listed").copied_to(&copy).expect("copied");
        let first = copied();
        fs::write(text.join("LICENSE-MIT"), "may not").expect("a file");
        assert_eq!(copied(), first);
        assert_eq!(first.bytes(), 3);
    }

    #[test]
    fn shards_depend_on_the_name_alone_and_all_are_used() {
        assert_eq!(shard_of("/a/b.rs"), shard_of("/a/b.rs"));
        let mut used = [false; SHARDS];
        (0..2000).for_each(|number| used[shard_of(&format!("/src/{number}.rs"))] = true);
        assert!(used.iter().all(|used| *used));
    }
}
