//! The order of the house: who may import whom, where a library may be used, how long a file may be, and that
//! identity headers are written in one place. The table is data here and prose in ARCHITECTURE.md; they must agree.

// Tests say what went wrong by panicking and index into what they have just built.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod architecture;
mod rooms;
mod source;

use std::path::{Path, PathBuf};

use rooms::{BORDERS, Border, LEVELS, level_of};
use source::{Mention, SourceFile};

#[test]
fn imports_go_down() {
    let files = SourceFile::all();
    let wrong: Vec<_> =
        files.iter().flat_map(|file| file.mentions.iter().filter_map(|use_| upward(file, use_))).collect();
    assert_eq!(wrong, Vec::<String>::new(), "see the table of rooms in ARCHITECTURE.md");
}

#[test]
fn every_room_has_its_level() {
    let missing =
        SourceFile::all().into_iter().filter(|file| file.room != "lib" && level_of(&file.room).is_none());
    let missing: Vec<_> = missing.map(|file| file.path).collect();
    assert_eq!(missing, Vec::<PathBuf>::new(), "add the room to the table, here and in ARCHITECTURE.md");
}

#[test]
fn libraries_stay_in_their_rooms() {
    let files = SourceFile::all();
    let wrong: Vec<_> =
        files.iter().flat_map(|file| file.mentions.iter().filter_map(|use_| beyond(file, use_))).collect();
    assert_eq!(wrong, Vec::<String>::new(), "see the table of libraries in ARCHITECTURE.md");
}

#[test]
fn identity_headers_are_named_in_one_file() {
    let files =
        SourceFile::all().into_iter().filter(|file| file.names_identity_headers).map(|file| file.path);
    let others: Vec<_> = files.filter(|path| path != Path::new("src/upstream/request.rs")).collect();
    assert_eq!(
        others,
        Vec::<PathBuf>::new(),
        "only the request's writer may name the headers of impersonation"
    );
}

#[test]
fn files_are_short_enough_to_read() {
    let directories = ["src", "tests"].map(Path::new);
    let files = directories.into_iter().flat_map(source::rust_files);
    let lengths = files.map(|path| (source::read(&path).lines().count(), path));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert_eq!(long, Vec::new(), "more than {MAX_LINES} lines");
}

#[test]
fn the_papers_show_the_same_tables() {
    let rooms = LEVELS
        .iter()
        .enumerate()
        .flat_map(|(level, rooms)| rooms.iter().map(move |room| (level, (*room).to_owned())));
    assert_eq!(architecture::rooms(), rooms.collect::<Vec<_>>());
    let borders = BORDERS
        .iter()
        .map(|border| (border.path.to_owned(), border.rooms.iter().map(ToString::to_string).collect()));
    assert_eq!(architecture::borders(), borders.collect::<Vec<(String, Vec<String>)>>());
}

/// The complaint about a path into a room that is not below this one.
fn upward(file: &SourceFile, mention: &Mention) -> Option<String> {
    let target = mention.room()?;
    let allowed = file.room == "lib"
        || file.room == target
        || level_of(target).zip(level_of(&file.room)).is_some_and(|(target, own)| target < own);
    (!allowed).then(|| format!("{}: {} imports {}", file.path.display(), file.room, mention.text()))
}

/// The complaint about a library outside the rooms it belongs to. Tests may use what they need to set a scene.
fn beyond(file: &SourceFile, mention: &Mention) -> Option<String> {
    let at_home = |border: &&Border| border.rooms.contains(&file.room.as_str());
    let border = BORDERS.iter().find(|border| mention.is_below(border.path) && !at_home(border))?;
    let exempt = mention.in_test || (border.path == "kube" && file.means_our_kube());
    (!exempt).then(|| {
        format!("{}: {} belongs to {}", file.path.display(), mention.text(), border.rooms.join(", "))
    })
}

const MAX_LINES: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        let file = SourceFile::parse(Path::new(path), text);
        let complaints = |mention| upward(&file, mention).or_else(|| beyond(&file, mention));
        file.mentions.iter().filter_map(complaints).count()
    }

    #[test]
    fn an_upward_import_is_seen_in_every_spelling() {
        for text in [
            "use crate::proxy::handle;",
            "use crate::{clock, proxy::handle};",
            "use crate::{clock, {proxy as p}};",
            "fn f() { crate::proxy::handle(); }",
            "fn f() { assert!(crate::proxy::ready()); }",
            "fn f(x: Vec<crate::proxy::Route>) {}",
            "use super::proxy::handle;",
            "mod inner { use super::super::proxy; }",
            "#[cfg(test)] mod tests { use crate::proxy; }",
            "use crate::server;",
            "use crate::nowhere::x;",
        ] {
            assert_eq!(complaints("src/store/mod.rs", text), 1, "{text}");
        }
        assert_eq!(complaints("src/store/sqlite/reader.rs", "use super::super::super::proxy;"), 1);
        assert_eq!(
            complaints("src/proxy/mod.rs", "use crate::api::x;"),
            1,
            "neighbours don't import each other"
        );
    }

    #[test]
    fn imports_from_below_and_from_the_own_room_are_fine() {
        for text in [
            "use crate::token::{Bearer, TokenName}; use crate::clock;",
            "use crate::store::Change; use super::proxy;",
            "pub(crate) fn f() {} pub(in crate::store) fn g() {}",
            "/// See [`crate::proxy`].\n// crate::proxy\nfn f() { g(\"crate::proxy\") }",
        ] {
            assert_eq!(complaints("src/store/reader.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn a_library_is_seen_outside_its_rooms_and_free_in_tests() {
        for text in [
            "use rusqlite::Connection;",
            "use ::moka::future::Cache;",
            "use hyper::{body::Body, client::conn::http1};",
            "fn f() { std::env::var(\"A\"); }",
            "use std::env; fn f() { env::var_os(\"A\"); }",
            "use kube::Client;",
            "#[derive(clap::Parser)] struct S;",
        ] {
            assert_eq!(complaints("src/proxy/mod.rs", text), 1, "{text}");
        }
        for text in [
            "use hyper::{body::Body, server::conn::http1};",
            "use crate::kube; fn f() { kube::Status::new(); }",
            "#[cfg(test)] mod tests { use rusqlite::Connection; }",
            "fn f() { std::env::temp_dir(); }",
        ] {
            assert_eq!(complaints("src/proxy/mod.rs", text), 0, "{text}");
        }
        assert_eq!(complaints("src/store/mod.rs", "use rusqlite::Connection;"), 0);
    }

    #[test]
    fn a_name_of_an_identity_header_is_seen_in_code_alone() {
        let names = |text| SourceFile::parse(Path::new("src/proxy/mod.rs"), text).names_identity_headers;
        for text in
            ["const A: &str = \"Impersonate-User\";", "f(b\"impersonate-extra-\")", "m!(r#\"IMPERSONATE-\"#)"]
        {
            assert!(names(text), "{text}");
        }
        for text in [
            "// Impersonate-User",
            "/// `Impersonate-User`\nfn f() {}",
            "#[cfg(test)] mod tests { f(\"impersonate-uid\") }",
        ] {
            assert!(!names(text), "{text}");
        }
    }
}
