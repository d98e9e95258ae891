//! Check of `.ci/run`: the machine's gate is the developer's gate, and nothing else.

use super::Finding;
use super::tree::Tree;

const PATH: &str = ".ci/run";
const COMMAND: &str = "cargo xtask ci";

/// All findings in the gate's script.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.files.get(PATH) else {
        return vec![Finding::fails(PATH, 0, "missing", format!("one line: `{COMMAND}`"))];
    };
    let mut findings = Vec::new();
    let commands: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("#!") && !line.is_empty()).collect();
    if commands != [COMMAND] {
        let todo = format!("let it call `{COMMAND}` and nothing else; steps belong into xtask/src/ci.rs");
        findings.push(Finding::fails(PATH, 0, "does more or less than call the gate", todo));
    }
    if !tree.executables.contains(PATH) {
        findings.push(Finding::fails(PATH, 0, "is not executable", format!("chmod +x {PATH}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted;
    use super::*;

    #[track_caller]
    fn check_script(text: &str, executable: bool, findings: usize) {
        let mut tree = planted(&[(PATH, text)]);
        if executable {
            tree.executables.insert(PATH.to_owned());
        }
        assert_eq!(check(&tree).len(), findings, "{text}");
    }

    #[test]
    fn only_the_one_command_passes() {
        check_script("cargo xtask ci\n", true, 0);
        check_script("#!/bin/sh\ncargo xtask ci\n", true, 0);
        check_script("cargo xtask ci || true\n", true, 1);
        check_script("cargo xtask test\ncargo xtask ci\n", true, 1);
        check_script("", true, 1);
        check_script("cargo xtask ci\n", false, 1);
        assert_eq!(check(&planted(&[])).len(), 1);
    }
}
