//! What the compiler does not check: who may use whom, how long things are, what must not stand in
//! the tree.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The layers, lowest first: a module may use those of its own line and above.
const LAYERS: [&[&str]; 7] = [
    &["domain"],
    &["stage"],
    &["clock", "metric"],
    &["stream", "store", "warehouse", "ingest", "stack"],
    &["sink", "config", "pipeline", "telemetry"],
    &["app"],
    &["cli"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Without its unit tests.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn a_module_uses_only_its_own_layer_and_those_below() {
    // `metric` knows what is counted: the fates of the runner and the outcomes of the edge.
    let known = [("metric", "stream"), ("metric", "ingest")];
    let mut wrong = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        let Some(own) = layer(&module) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        let text = production(&text);
        let mut used: Vec<&str> = text
            .split("crate::")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
            .collect();
        // `use crate::{a::.., b::..};` over several lines: the names at four blanks.
        if let Some(block) = text.split("use crate::{\n").nth(1) {
            let block = block.split("\n};").next().unwrap();
            let top = block.lines().filter(|line| !line.starts_with("     "));
            used.extend(top.filter_map(|line| line.trim().split([':', ',']).next()));
        }
        for other in used.into_iter().filter(|other| **other != *module) {
            let above = layer(other).is_some_and(|other| other > own);
            if above && !known.contains(&(module.as_str(), other)) {
                wrong.push(format!("{} uses {other}", name(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "a lower layer uses a higher one:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let banned =
        ["async ", ".await", "tokio", "std::fs", "std::net", "Instant::now", "Timestamp::now"];
    for folder in ["src/domain", "src/stage"] {
        for path in files(&root().join(folder), "rs") {
            if path.file_name().unwrap().to_string_lossy().contains("tests") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = production(&text)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            for word in banned {
                assert!(
                    !code.iter().any(|line| line.contains(word)),
                    "{} holds {word:?}: domain and stages meet no world",
                    name(&path)
                );
            }
        }
    }
}

#[test]
fn no_file_outgrows_its_reader() {
    let long: Vec<String> = files(&root().join("src"), "rs")
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > 600).then(|| format!("{} has {lines} lines", name(&path)))
        })
        .collect();
    assert!(long.is_empty(), "a file of 600 lines wants a better shape:\n{}", long.join("\n"));
}

#[test]
fn money_never_meets_a_float() {
    for folder in ["src/domain", "src/stage", "src/store", "src/warehouse", "src/sink"] {
        for path in files(&root().join(folder), "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let float = ["f64", "f32"].iter().any(|t| {
                    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *t)
                });
                // A visitor must name the method by which a parser would hand it a float.
                let refuses = line.contains("fn visit_f64") && line.contains("_: f64");
                assert!(!float || refuses, "{}: {line}", name(&path));
            }
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), "unimplemented!"];
    for path in files(&root().join("src"), "rs") {
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} holds {word}", name(&path));
        }
    }
}

#[test]
fn every_relative_link_of_the_documents_leads_somewhere() {
    for document in ["README.md", "src/ARCHITECTURE.md"] {
        let path = root().join(document);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{document}: {e}"));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let full = path.parent().unwrap().join(target);
            assert!(full.exists(), "{document} links to {target}, which is not there");
        }
    }
}
