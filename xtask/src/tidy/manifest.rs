//! Reads as much of a `Cargo.toml` as the checks ask about: sections, keys, values and their lines.
//!
//! Promises: a dependency is found in each form in which cargo takes one (plain, inline table, dotted key,
//! own section, renamed, under a target). Not a TOML parser: what cargo itself would refuse is not checked.

/// One `key = value` line of a manifest.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// From 1.
    pub(super) line: usize,
    /// The section's name without its brackets.
    pub(super) section: &'a str,
    pub(super) key: &'a str,
    /// Without the lines that follow in a value of several.
    pub(super) value: &'a str,
}

/// When a dependency is part of the build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    /// Always, or on some platforms.
    Normal,
    /// In builds with `--cfg loom` or `--cfg shuttle`.
    UnderChecker,
    /// In the build script.
    Build,
    /// In tests, examples and benches.
    Dev,
}

/// One dependency.
#[derive(Debug, PartialEq)]
pub(super) struct Dependency<'a> {
    pub(super) line: usize,
    pub(super) name: &'a str,
    pub(super) when: When,
    /// Whether it is given by its path alone, without a version of its own or of the workspace. Cargo
    /// leaves such a dev-dependency out of the package.
    pub(super) path_only: bool,
    /// Whether it is built only with a feature that asks for it.
    pub(super) optional: bool,
}

/// The entries of a manifest, in order.
pub(super) fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut section = "";
    let mut open_brackets = 0;
    for (index, raw) in text.lines().enumerate() {
        let line = raw.split(" #").next().unwrap_or_default().trim();
        let continues = open_brackets > 0;
        if !continues && line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        open_brackets += balance(line);
        if continues || line.starts_with('#') {
            continue;
        }
        if let Some((key, value)) = line.split_once('=') {
            entries.push(Entry { line: index + 1, section, key: key.trim(), value: value.trim() });
        }
    }
    entries
}

fn balance(line: &str) -> i32 {
    let weight = |letter| i32::from(matches!(letter, '[' | '{')) - i32::from(matches!(letter, ']' | '}'));
    line.chars().map(weight).sum()
}

/// The dependencies of a manifest. One that has its own section may appear once per line of it.
pub(super) fn dependencies(text: &str) -> Vec<Dependency<'_>> {
    entries(text).iter().filter_map(dependency).collect()
}

fn dependency<'a>(entry: &Entry<'a>) -> Option<Dependency<'a>> {
    let (target, table) = match entry.section.strip_prefix("target.") {
        Some(rest) => split_target(rest),
        None => ("", entry.section),
    };
    let (table, own_section) =
        table.split_once('.').map_or((table, None), |(table, name)| (table, Some(name)));
    let when = match table {
        "dependencies" if matches!(target, "cfg(loom)" | "cfg(shuttle)") => When::UnderChecker,
        "dependencies" => When::Normal,
        "build-dependencies" => When::Build,
        "dev-dependencies" => When::Dev,
        _ => return None,
    };
    let key = entry.key.split('.').next().unwrap_or_default();
    let renamed = match own_section {
        Some(_) => (entry.key == "package").then(|| entry.value.trim_matches('"')),
        None => package_of(entry.value),
    };
    let name = renamed.or(own_section).unwrap_or(key).trim_matches('"');
    let versioned = |text: &str| text.contains("version") || text.contains("workspace");
    let path_only = match own_section {
        Some(_) => !versioned(entry.key),
        None => entry.value.contains("path") && !versioned(entry.value) && !versioned(entry.key),
    };
    let optional = own_section.is_none() && entry.value.replace(' ', "").contains("optional=true");
    Some(Dependency { line: entry.line, name, when, path_only, optional })
}

/// Splits `'cfg(loom)'.dependencies` behind the quoted or plain target.
fn split_target(rest: &str) -> (&str, &str) {
    let quote = rest.chars().next().filter(|letter| matches!(letter, '\'' | '"'));
    let split = match quote {
        Some(quote) => {
            rest[1..].split_once(quote).map(|(target, table)| (target, table.trim_start_matches('.')))
        }
        None => rest.split_once('.'),
    };
    split.unwrap_or((rest, ""))
}

/// The real name in `{ package = "name", .. }`.
fn package_of(value: &str) -> Option<&str> {
    let (_, after) = value.split_once("package")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str, When)]) {
        let found = dependencies(text);
        let found: Vec<_> = found.iter().map(|found| (found.line, found.name, found.when)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_form_of_a_dependency_is_found() {
        check(
            "[dependencies]\na = \"1\"\nb.workspace = true\n",
            &[(2, "a", When::Normal), (3, "b", When::Normal)],
        );
        check("[dependencies]\na = { package = \"b\", version = \"1\" }\n", &[(2, "b", When::Normal)]);
        check("[dependencies.a]\nversion = \"1\"\n", &[(2, "a", When::Normal)]);
        check("[target.'cfg(loom)'.dependencies]\nloom = \"1\"\n", &[(2, "loom", When::UnderChecker)]);
        check(
            "[target.'cfg(shuttle)'.dependencies]\nshuttle = \"1\"\n",
            &[(2, "shuttle", When::UnderChecker)],
        );
        check("[target.\"cfg(unix)\".dependencies]\na = \"1\"\n", &[(2, "a", When::Normal)]);
        check("[build-dependencies]\na = \"1\"\n", &[(2, "a", When::Build)]);
        check("[dev-dependencies]\na = \"1\"\n", &[(2, "a", When::Dev)]);
        check("[dependencies.a]\npackage = \"b\"\n", &[(2, "b", When::Normal)]);
    }

    #[test]
    fn a_dependency_by_path_alone_is_told_apart() {
        for (text, path_only) in [
            ("[dev-dependencies]\na = { path = \"../a\" }\n", true),
            ("[dev-dependencies.a]\npath = \"../a\"\n", true),
            ("[dev-dependencies]\na.workspace = true\n", false),
            ("[dev-dependencies]\na = { workspace = true }\n", false),
            ("[dev-dependencies]\na = { path = \"../a\", version = \"1\" }\n", false),
            ("[dev-dependencies]\na = \"1\"\n", false),
        ] {
            assert!(dependencies(text).iter().all(|found| found.path_only == path_only), "{text}");
        }
    }

    #[test]
    fn an_optional_dependency_is_told_apart() {
        for (text, optional) in [
            ("[dependencies]\na = { workspace = true, optional = true }\n", true),
            ("[dependencies]\na = { workspace = true, optional = false }\n", false),
            ("[dependencies]\na.workspace = true\n", false),
        ] {
            assert!(dependencies(text).iter().all(|found| found.optional == optional), "{text}");
        }
    }

    #[test]
    fn other_sections_comments_and_continued_values_are_no_dependencies() {
        check("[package]\nname = \"a\"\n[features]\nb = []\n[lints.rust]\nc = \"warn\"\n", &[]);
        check("[dependencies]\n# a = \"1\"\n", &[]);
        check("[dependencies]\na = { features = [\n  \"x = y\",\n] }\n", &[(2, "a", When::Normal)]);
        check("[workspace.dependencies]\na = \"1\"\n", &[]);
    }
}
