//! [`Source`]: the files of `src`, and what each imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

pub(crate) type Module = String;

pub(crate) struct Source {
    pub(crate) files: BTreeMap<Module, String>,
    /// What each file imports, by the name under which it does.
    imports: BTreeMap<Module, Vec<Vec<String>>>,
}

impl Source {
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        collect(&root, "", &mut files);
        let imports = files
            .iter()
            .map(|(module, text)| (module.clone(), imports(module, text)));
        let imports = imports.collect();
        Self { files, imports }
    }

    /// The file that has what a path names: re-exports are followed where they lead.
    fn owner(&self, path: &[String]) -> Option<Module> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let (module, rest) = (0..=path.len()).rev().find_map(|n| {
                let module = path[..n].join("/");
                self.files.contains_key(&module).then(|| (module, path[n..].to_vec()))
            })?;
            let Some(name) = rest.first() else { return Some(module) };
            match self.imports[&module].iter().find(|import| import.last() == Some(name)) {
                Some(import) if import.join("/") != path.join("/") => path = [import.as_slice(), &rest[1..]].concat(),
                _ => return Some(module),
            }
        }
        None
    }

    /// Which file uses which.
    pub(crate) fn edges(&self) -> BTreeSet<(Module, Module)> {
        let mut edges = BTreeSet::new();
        for (module, imports) in &self.imports {
            for owner in imports.iter().filter_map(|import| self.owner(import)) {
                if owner != *module {
                    edges.insert((module.clone(), owner));
                }
            }
        }
        edges
    }
}

fn collect(folder: &Path, module: &str, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let inner = format!("{module}{}{name}", if module.is_empty() { "" } else { "/" });
        if path.is_dir() {
            collect(&path, &inner, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            let module = if name == "mod" || inner == "lib" {
                module.to_owned()
            } else {
                inner
            };
            if !module.split('/').any(|part| part == "tests") {
                files.insert(module, fs::read_to_string(&path).unwrap());
            }
        }
    }
}

/// A file without its comments and unit tests.
pub(crate) fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths, from the root of the crate on, that a file imports from this crate. Unit tests are left out.
fn imports(module: &str, text: &str) -> Vec<Vec<String>> {
    let code = code(text);
    let mut all = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim_start();
        if !(before.is_empty() || before.starts_with("pub") && before.len() < 40 && !before.contains("fn ")) {
            continue;
        }
        let statement = code[at + 4..].split(';').next().unwrap_or_default();
        let mut leaves = Vec::new();
        expand(
            &statement.split_whitespace().collect::<Vec<_>>().join(" "),
            &[],
            &mut leaves,
        );
        all.extend(leaves.iter().filter_map(|leaf| absolute(module, leaf)));
    }
    all
}

/// The leaves of a tree such as `a::{b, c::d}`.
fn expand(tree: &str, prefix: &[String], leaves: &mut Vec<Vec<String>>) {
    let parts = |path: &str| -> Vec<String> {
        let path = path.split(" as ").next().unwrap_or_default();
        let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let Some((head, inner)) = tree.split_once('{') else {
        return leaves.push([prefix, &parts(tree)].concat());
    };
    let prefix = [prefix, &parts(head)].concat();
    // What is none is a word in a text.
    let Some(inner) = inner.trim_end().strip_suffix('}') else {
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    expand(inner[start..at].trim(), &prefix, leaves);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// From the root of the crate on; `None` for what another crate has.
fn absolute(module: &str, leaf: &[String]) -> Option<Vec<String>> {
    let mut path: Vec<String> = module
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut rest = leaf;
    match rest.first()?.as_str() {
        "crate" => path.clear(),
        "self" => {}
        "super" => {
            while rest.get(1).is_some_and(|part| part == "super") {
                path.pop();
                rest = &rest[1..];
            }
            path.pop();
        }
        _ => return None,
    }
    let named = rest[1..].iter().filter(|part| *part != "self" && *part != "*");
    path.extend(named.cloned());
    Some(path)
}
