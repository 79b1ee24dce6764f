//! Which crate may know which, and that every crate obeys the workspace's lints.

use super::Finding;
use anyhow::Context as _;
use serde_json::Value;

/// What a crate may depend on.
enum May {
    Know(&'static [&'static str]),
    KnowAll,
}

/// The arrows of ARCHITECTURE.md. A new row or arrow has a decision record first.
const ALLOWED: [(&str, May); 11] = [
    ("trust", May::Know(&[])),
    ("wire", May::Know(&["trust"])),
    ("agent", May::Know(&["trust", "wire"])),
    ("server", May::Know(&["trust", "wire"])),
    ("cli", May::Know(&["trust", "wire"])),
    ("beacon", May::Know(&["trust"])),
    ("witness", May::Know(&["trust"])),
    ("thief", May::Know(&["trust", "wire"])),
    ("drills", May::KnowAll),
    ("swarm", May::KnowAll),
    ("xtask", May::KnowAll),
];

/// Programs whose tests start the others for real. What is independent, or decides, stays so in its tests too.
const TESTED_WITH_REAL_PARTS: [&str; 3] = ["agent", "server", "cli"];

/// `metadata` is the JSON of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &str) -> anyhow::Result<Vec<Finding>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata printed no JSON")?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("cargo metadata printed no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let krate = Crate::read(package).context("a package of cargo metadata lacks its name or path")?;
        findings.extend(arrows(&krate));
        findings.extend(lints(&krate));
        let name = format!("countersign-{}", krate.folder);
        if krate.name != name {
            let what = format!("holds package {}; call it {name}", krate.name);
            findings.push(Finding::fault(krate.place(), what));
        }
    }
    Ok(findings)
}

struct Crate {
    name: String,
    folder: String,
    manifest: String,
    /// Folders of the workspace's own crates it depends on, in any way.
    knows: Vec<String>,
}

impl Crate {
    fn read(package: &Value) -> Option<Self> {
        let manifest = package.get("manifest_path")?.as_str()?;
        let folder = last_part(manifest.strip_suffix("/Cargo.toml")?);
        let dependencies = package.get("dependencies")?.as_array()?;
        let in_tests = TESTED_WITH_REAL_PARTS.contains(&folder.as_str());
        let counts =
            |dependency: &&Value| !(in_tests && dependency.get("kind").is_some_and(|kind| kind == "dev"));
        let paths =
            dependencies.iter().filter(counts).filter_map(|dependency| dependency.get("path")?.as_str());
        Some(Crate {
            name: package.get("name")?.as_str()?.to_owned(),
            folder,
            manifest: manifest.to_owned(),
            knows: paths.map(last_part).collect(),
        })
    }

    fn place(&self) -> String {
        format!("crates/{}", self.folder)
    }
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn arrows(krate: &Crate) -> Vec<Finding> {
    let row = ALLOWED.iter().find(|(folder, _)| *folder == krate.folder);
    let Some((_, may)) = row else {
        let what = "has no row in crates/xtask/src/tidy/arrows.rs; add one, with a decision record";
        return vec![Finding::fault(krate.place(), what)];
    };
    let May::Know(allowed) = may else { return Vec::new() };
    let forbidden = krate.knows.iter().filter(|known| !allowed.contains(&known.as_str()));
    forbidden
        .map(|known| {
            let may = if allowed.is_empty() { "nobody".to_owned() } else { allowed.join(" and ") };
            Finding::fault(krate.place(), format!("depends on {known}; it may know {may}"))
        })
        .collect()
}

fn lints(krate: &Crate) -> Option<Finding> {
    let manifest = std::fs::read_to_string(&krate.manifest).unwrap_or_default();
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let obeys = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]);
    (!obeys).then(|| {
        let what =
            "does not obey the workspace's lints; its Cargo.toml needs `[lints]` and `workspace = true`";
        Finding::fault(krate.place(), what)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree_of;
    use super::*;
    use serde_json::json;

    const OBEDIENT: &str = "[package]\n[lints]\nworkspace = true\n";

    fn found(folder: &str, knows: &[&str], manifest: &str) -> Vec<String> {
        let path = format!("crates/{folder}/Cargo.toml");
        let (root, _) = tree_of(&[(&path, manifest)]);
        let at = |path: &str| root.path().join(path).to_str().unwrap().to_owned();
        let mut dependencies = vec![json!({"name": "anyhow"})];
        dependencies
            .extend(knows.iter().map(|known| json!({"name": known, "path": at(&format!("crates/{known}"))})));
        let name = format!("countersign-{folder}");
        let package = json!({"name": name, "manifest_path": at(&path), "dependencies": dependencies});
        let findings = check(&json!({"packages": [package]}).to_string()).unwrap();
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_arrows_of_the_design_are_allowed() {
        let allowed: [(&str, &[&str]); 5] = [
            ("trust", &[]),
            ("server", &["trust", "wire"]),
            ("beacon", &["trust"]),
            ("thief", &["wire"]),
            ("drills", &["server", "agent", "beacon"]),
        ];
        for (folder, knows) in allowed {
            assert_eq!(found(folder, knows, OBEDIENT), Vec::<String>::new());
        }
    }

    #[test]
    fn any_other_arrow_is_a_fault_that_names_both_ends() {
        let cases: [(&str, &[&str], &str); 3] = [
            ("trust", &["wire"], "fault: crates/trust: depends on wire; it may know nobody"),
            ("beacon", &["wire"], "fault: crates/beacon: depends on wire; it may know trust"),
            (
                "agent",
                &["trust", "server"],
                "fault: crates/agent: depends on server; it may know trust and wire",
            ),
        ];
        for (folder, knows, finding) in cases {
            assert_eq!(found(folder, knows, OBEDIENT), [finding]);
        }
    }

    #[test]
    fn only_programs_may_know_others_in_their_tests() {
        for (folder, faults) in [("server", 0), ("trust", 1), ("beacon", 1)] {
            let path = format!("crates/{folder}/Cargo.toml");
            let (root, _) = tree_of(&[(&path, OBEDIENT)]);
            let at = |path: &str| root.path().join(path).to_str().unwrap().to_owned();
            let dependencies = json!([{"name": "w", "kind": "dev", "path": at("crates/witness")}]);
            let package = json!({"name": format!("countersign-{folder}"), "manifest_path": at(&path), "dependencies": dependencies});
            assert_eq!(check(&json!({"packages": [package]}).to_string()).unwrap().len(), faults, "{folder}");
        }
    }

    #[test]
    fn a_crate_that_nobody_decided_on_is_a_fault() {
        let findings = found("common", &[], OBEDIENT);
        assert!(findings.concat().contains("crates/common: has no row"), "{findings:?}");
    }

    #[test]
    fn a_package_not_named_after_its_folder_is_a_fault() {
        let package = json!({"name": "mailman", "manifest_path": "/x/server/Cargo.toml", "dependencies": []});
        let findings = check(&json!({"packages": [package]}).to_string()).unwrap();
        let sentences: Vec<_> = findings.iter().map(|finding| &*finding.what).collect();
        assert!(sentences.contains(&"holds package mailman; call it countersign-server"), "{sentences:?}");
    }

    #[test]
    fn a_crate_without_the_lints_is_a_fault() {
        let findings = found("wire", &["trust"], "[package]\n[lints.rust]\n");
        assert!(findings.concat().contains("does not obey the workspace's lints"), "{findings:?}");
    }
}
