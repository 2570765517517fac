//! Our source as the compiler's tokens, so that comments, texts and line breaks can't hide an import or pose as one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A file of `src`.
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    /// The first part of its module path; `lib` for the list of rooms itself.
    pub(crate) room: String,
    pub(crate) mentions: Vec<Mention>,
    /// Whether code outside tests has a text with a name of an identity header.
    pub(crate) names_identity_headers: bool,
}

/// A path that code mentions.
pub(crate) struct Mention {
    /// From the root of our crate if `ours`, else from a library or whatever is in scope.
    segments: Vec<String>,
    ours: bool,
    pub(crate) in_test: bool,
}

impl SourceFile {
    /// All files of `src`.
    pub(crate) fn all() -> Vec<Self> {
        let paths = rust_files(Path::new("src"));
        assert!(paths.len() > 10, "the source is not where the test looks for it");
        let mut files: Vec<_> = paths.iter().map(|path| Self::parse(path, &read(path))).collect();
        // `#[cfg(test)] mod tests;` makes the whole other file a test; by convention it has one of these names.
        for file in files
            .iter_mut()
            .filter(|file| file.path.ends_with("tests.rs") || file.path.ends_with("testing.rs"))
        {
            file.names_identity_headers = false;
            file.mentions.iter_mut().for_each(|mention| mention.in_test = true);
        }
        files
    }

    /// A file's text at a path below `src`.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let mut module: Vec<String> = path
            .with_extension("")
            .components()
            .skip(1)
            .map(|part| part.as_os_str().to_string_lossy().into())
            .collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let room = module.first().cloned().unwrap_or_default();
        if room == "lib" || room == "main" {
            module.clear();
        }
        let tokens =
            TokenStream::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut file =
            Self { path: path.to_owned(), room, mentions: Vec::new(), names_identity_headers: false };
        file.walk(tokens, &module, false);
        file
    }

    /// Whether `kube::…` in this file is our room and not the library.
    pub(crate) fn means_our_kube(&self) -> bool {
        self.mentions.iter().any(|mention| mention.ours && mention.segments == ["kube"])
    }

    fn walk(&mut self, tokens: TokenStream, module: &[String], in_test: bool) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut test_next = false;
        let mut index = 0;
        while index < tokens.len() {
            match &tokens[index] {
                TokenTree::Ident(word) if word == "mod" => {
                    // An inline module is one step further down; `super` in it means us.
                    if let (Some(name), Some(TokenTree::Group(body))) =
                        (tokens.get(index + 1), tokens.get(index + 2))
                    {
                        let inner: Vec<_> = module.iter().cloned().chain([name.to_string()]).collect();
                        self.walk(body.stream(), &inner, in_test || test_next);
                        index += 2;
                    }
                    test_next = false;
                }
                // `use ::moka` is no path that begins with `use`.
                TokenTree::Ident(word)
                    if ["use", "as", "dyn", "impl", "in", "mut"].iter().any(|k| word == k) => {}
                TokenTree::Ident(_) => {
                    let (end, paths) = paths_at(&tokens, index);
                    for path in paths {
                        self.mentions.extend(Mention::new(path, module, in_test));
                    }
                    index = end - 1;
                }
                TokenTree::Group(group) => {
                    let text = group.stream().to_string();
                    let attribute = group.delimiter() == Delimiter::Bracket
                        && is_punct(&tokens, index.wrapping_sub(1), '#');
                    test_next |= attribute && text.replace(' ', "") == "cfg(test)";
                    // A documentation comment is an attribute to the compiler.
                    if !(attribute && text.starts_with("doc")) {
                        self.walk(group.stream(), module, in_test);
                    }
                }
                TokenTree::Literal(literal) => {
                    let names = literal.to_string().to_ascii_lowercase().contains("impersonate-");
                    self.names_identity_headers |= names && !in_test;
                }
                TokenTree::Punct(_) => {}
            }
            index += 1;
        }
    }
}

impl Mention {
    /// `None` for a path that says nothing about imports: a single word in scope.
    fn new(path: Vec<String>, module: &[String], in_test: bool) -> Option<Self> {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let (ours, segments) = match path.first()?.as_str() {
            "crate" => (true, path[1..].to_vec()),
            "super" => {
                let base = module.len().saturating_sub(supers);
                (true, module[..base].iter().chain(&path[supers..]).cloned().collect())
            }
            _ if path.len() > 1 => (false, path),
            _ => return None,
        };
        Some(Self { segments, ours, in_test })
    }

    /// The room of ours it leads to.
    pub(crate) fn room(&self) -> Option<&str> {
        self.segments.first().filter(|_| self.ours).map(String::as_str)
    }

    /// Whether it is `path` or something in it. The end of a standard path is enough: `use std::env; env::var(..)`.
    pub(crate) fn is_below(&self, path: &str) -> bool {
        let path: Vec<_> = path.split("::").collect();
        let own: Vec<_> = self.segments.iter().map(String::as_str).collect();
        !self.ours && (own.starts_with(&path) || (path[0] == "std" && own.starts_with(&path[1..])))
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", if self.ours { "crate::" } else { "" }, self.segments.join("::"))
    }
}

/// The Rust files below a directory.
pub(crate) fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file's text; tests run in the directory of the package.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The path that begins at `start`, more than one if it ends in braces, and where it ends.
fn paths_at(tokens: &[TokenTree], start: usize) -> (usize, Vec<Vec<String>>) {
    let mut path = Vec::new();
    let mut index = start;
    while let Some(TokenTree::Ident(segment)) = tokens.get(index) {
        path.push(segment.to_string());
        if !(is_punct(tokens, index + 1, ':') && is_punct(tokens, index + 2, ':')) {
            return (index + 1, vec![path]);
        }
        index += 3;
    }
    match tokens.get(index) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let mut paths = Vec::new();
            branches(group.stream(), &path, &mut paths);
            (index + 1, paths)
        }
        // A glob, or type arguments: what is before them counts, what is in them is walked.
        _ => (index, vec![path]),
    }
}

/// What stands in the braces of a `use`, each below `prefix`.
fn branches(tokens: TokenStream, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for branch in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
        match branch.first() {
            Some(TokenTree::Group(group)) => branches(group.stream(), prefix, found),
            Some(TokenTree::Ident(_)) => {
                let (_, paths) = paths_at(branch, 0);
                found.extend(paths.into_iter().map(|path| prefix.iter().cloned().chain(path).collect()));
            }
            _ => found.push(prefix.to_vec()),
        }
    }
}

fn is_punct(tokens: &[TokenTree], index: usize, wanted: char) -> bool {
    matches!(tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}
