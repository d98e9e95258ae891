//! Checks of the manifests: who may depend on whom, and what a crate must say about itself.

use super::Finding;
use super::manifest::{Dependency, When, dependencies, entries};
use super::policy::{self, CrateRule};
use super::tree::Tree;

const POLICY: &str = "xtask/src/tidy/policy.rs";

/// What a library crate's `[package]` must say, for a registry and for those who search it.
const REQUIRED: [&str; 4] = ["description", "keywords", "categories", "license"];

/// All findings in the manifests.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in &policy::LIBRARIES {
        with_manifest(tree, rule.name, &mut findings, |path, text| {
            let mut findings = library_dependencies(path, text, rule);
            findings.extend(describes_itself(path, text));
            findings
        });
        let readme = format!("{}/README.md", rule.name);
        if !tree.exists(&readme) {
            findings.push(Finding::fails(
                &readme,
                0,
                "missing",
                "say what the crate is for, with an example",
            ));
        }
    }
    for name in policy::DEPENDENCY_FREE {
        with_manifest(tree, name, &mut findings, no_dependencies);
    }
    findings.extend(policy::OWN_WORKSPACES.iter().flat_map(|package| own_workspace(tree, package)));
    findings
}

/// A package that the gate does not build: what pins its dependencies is there, and the workspace does not take it in.
fn own_workspace(tree: &Tree, package: &str) -> Vec<Finding> {
    let (manifest, lock) = (format!("{package}/Cargo.toml"), format!("{package}/Cargo.lock"));
    let mut findings = Vec::new();
    if !tree.exists(&lock) {
        let todo = format!("run `cargo generate-lockfile` in {package}");
        findings.push(Finding::fails(&lock, 0, "missing: its dependencies are not pinned", todo));
    }
    match tree.files.get(&manifest) {
        Some(text) if text.lines().any(|line| line.trim() == "[workspace]") => {}
        Some(_) => {
            findings.push(Finding::fails(&manifest, 0, "no workspace of its own", "add `[workspace]`"))
        }
        None => {
            findings.push(Finding::fails(&manifest, 0, "missing", "every package of the policy must exist"))
        }
    }
    findings
}

fn with_manifest(
    tree: &Tree,
    package: &str,
    findings: &mut Vec<Finding>,
    check: impl Fn(&str, &str) -> Vec<Finding>,
) {
    let path = format!("{package}/Cargo.toml");
    match tree.files.get(&path) {
        Some(text) => {
            findings.extend(check(&path, text));
            findings.extend(takes_the_lints(&path, text));
        }
        None => findings.push(Finding::fails(&path, 0, "missing", "every crate of the policy must exist")),
    }
}

fn library_dependencies(path: &str, text: &str, rule: &CrateRule) -> Vec<Finding> {
    let banned = dependencies(text).into_iter().filter(|dependency| !allowed(dependency, rule));
    let finding = |Dependency { line, name, when, .. }: Dependency<'_>| {
        let remove = format!("remove it; the allowed ones are in {POLICY}");
        let (how, todo) = match when {
            When::Build => (" in its build script", remove),
            When::UnderChecker => (" under loom or shuttle", remove),
            When::Normal => ("", remove),
            When::Dev => (" by version in its tests", format!("write `{name} = {{ path = \"../{name}\" }}`")),
        };
        let what = format!("{} must not depend on {name}{how}", rule.name);
        Finding::fails(path, line, what, todo)
    };
    banned.map(finding).collect()
}

/// Tests may use any crate, but those of this workspace by path alone: a version would be part of the package,
/// and crates whose tests use each other could then not be published one after the other.
fn allowed(dependency: &Dependency<'_>, rule: &CrateRule) -> bool {
    let name = &dependency.name;
    let by_feature = dependency.optional && rule.by_feature.iter().any(|(_, names)| names.contains(name));
    let normal = rule.workspace.contains(name) || rule.registry.contains(name) || by_feature;
    match dependency.when {
        When::Normal => normal,
        When::UnderChecker => normal || rule.under_checker.contains(name),
        When::Build => false,
        When::Dev => dependency.path_only || policy::library(name).is_none(),
    }
}

fn no_dependencies(path: &str, text: &str) -> Vec<Finding> {
    let finding = |dependency: Dependency<'_>| {
        let what = format!("{} is a dependency of a crate that has none", dependency.name);
        Finding::fails(path, dependency.line, what, "write the few lines that are needed from it")
    };
    dependencies(text).into_iter().map(finding).collect()
}

fn describes_itself(path: &str, text: &str) -> Vec<Finding> {
    let entries = entries(text);
    let has = |key: &str| {
        let inherited = format!("{key}.workspace");
        entries.iter().any(|entry| {
            entry.section == "package"
                && ((entry.key == inherited && entry.value == "true")
                    || (entry.key == key && key != "license" && !matches!(entry.value, "\"\"" | "[]")))
        })
    };
    let missing = REQUIRED.iter().filter(|key| !has(key));
    let finding = |key: &&str| {
        let todo = if *key == "license" { "add `license.workspace = true`" } else { "add it to [package]" };
        Finding::fails(path, 0, format!("`{key}` is missing"), todo)
    };
    missing.map(finding).collect()
}

fn takes_the_lints(path: &str, text: &str) -> Option<Finding> {
    let inherits = |entry: &super::manifest::Entry<'_>| {
        entry.section == "lints" && entry.key == "workspace" && entry.value == "true"
    };
    let taken = entries(text).iter().any(inherits);
    (!taken).then(|| {
        Finding::fails(path, 0, "the lints of the workspace do not apply", "add `[lints] workspace = true`")
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted;
    use super::*;

    const GOOD: &str = "[package]\ndescription = \"x\"\nkeywords.workspace = true\n\
        categories.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n";

    /// What is found when `package` has `manifest` and all others are in order.
    fn found(package: &str, manifest: &str) -> Vec<String> {
        let mut tree = planted(&[]);
        let libraries = policy::LIBRARIES.iter().map(|rule| rule.name);
        for name in libraries.chain(policy::DEPENDENCY_FREE) {
            tree.files.insert(format!("{name}/Cargo.toml"), GOOD.to_owned());
            tree.files.insert(format!("{name}/README.md"), String::new());
        }
        for name in policy::OWN_WORKSPACES {
            tree.files.insert(format!("{name}/Cargo.toml"), "[workspace]\n".to_owned());
            tree.files.insert(format!("{name}/Cargo.lock"), String::new());
        }
        tree.files.insert(format!("{package}/Cargo.toml"), manifest.to_owned());
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check_added(package: &str, addition: &str, expected: Option<&str>) {
        let found = found(package, &format!("{GOOD}{addition}\n"));
        match expected {
            Some(what) => assert!(found.len() == 1 && found[0].contains(what), "{addition}: {found:?}"),
            None => assert!(found.is_empty(), "{addition}: {found:?}"),
        }
    }

    #[test]
    fn dependencies_outside_the_table_are_found() {
        let denied = |name: &str| format!("must not depend on {name}");
        check_added("wal-reader", "[dependencies]\nwal-writer.workspace = true", Some(&denied("wal-writer")));
        check_added(
            "wal-recovery",
            "[dependencies.wal-coordinator]\npath = \"x\"",
            Some(&denied("wal-coord")),
        );
        check_added("wal-format", "[dependencies]\nserde = \"1\"", Some("Cargo.toml:9: wal-format must not"));
        check_added("wal-format", "[dependencies]\nx = { package = \"serde\" }", Some(&denied("serde")));
        check_added("wal-writer", "[dependencies]\nloom = \"0.7\"", Some(&denied("loom")));
        check_added("wal-writer", "[build-dependencies]\nquanta = \"1\"", Some("in its build script"));
        check_added("wal-recovery", "[dev-dependencies]\nwal-writer.workspace = true", Some("by version"));
        check_added("wal-recovery", "[dependencies]\nclap.workspace = true", Some(&denied("clap")));
        check_added("wal-reader", "[dependencies]\nclap = { optional = true }", Some(&denied("clap")));
        check_added("xtask", "[dev-dependencies]\ntempfile = \"3\"", Some("of a crate that has none"));
    }

    #[test]
    fn dependencies_of_the_table_pass() {
        check_added("wal-reader", "[dependencies]\nwal-format.workspace = true", None);
        check_added("wal-writer", "[target.'cfg(loom)'.dependencies]\nloom.workspace = true", None);
        check_added("wal-writer", "[target.'cfg(shuttle)'.dependencies]\nshuttle.workspace = true", None);
        check_added("wal-recovery", "[dev-dependencies]\nwal-coordinator = { path = \"../x\" }", None);
        check_added("wal-recovery", "[dev-dependencies]\ntempfile.workspace = true", None);
        check_added("wal-recovery", "[dependencies]\nclap = { workspace = true, optional = true }", None);
    }

    #[test]
    fn a_crate_that_does_not_describe_itself_is_found() {
        for (line, what) in [
            ("description = \"x\"\n", "`description` is missing"),
            ("keywords.workspace = true\n", "`keywords` is missing"),
            ("categories.workspace = true\n", "`categories` is missing"),
            ("license.workspace = true\n", "`license` is missing"),
            ("[lints]\nworkspace = true\n", "lints of the workspace"),
        ] {
            let found = found("wal-format", &GOOD.replace(line, ""));
            assert!(found.len() == 1 && found[0].contains(what), "{line}: {found:?}");
        }
    }

    #[test]
    fn a_package_beside_the_workspace_has_its_own_and_its_lock() {
        let found = found("fuzz", "[package]\n");
        assert!(found.len() == 1 && found[0].contains("no workspace of its own"), "{found:?}");
        let found = check(&planted(&[]));
        assert!(found.iter().any(|finding| finding.path == "wal-bench/peers/Cargo.lock"));
    }

    #[test]
    fn missing_files_of_a_crate_are_found() {
        let found = check(&planted(&[]));
        let named = |path: &str| found.iter().any(|finding| finding.path == path);
        assert!(named("wal-format/README.md") && named("wal-format/Cargo.toml") && named("xtask/Cargo.toml"));
    }
}
