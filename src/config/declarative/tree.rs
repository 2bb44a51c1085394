//! A declarative file as a tree, with its lines. It has one small node for each value that is written down: values have
//! no types yet, and aliases are not expanded.

pub mod build;

use std::collections::{HashMap, HashSet};

use crate::error::quote;

/// How deep values may be nested.
pub const DEEPEST: usize = 128;

/// What a value counts besides its text, in bytes.
const VALUE: u32 = 32;

const NONE: u32 = u32::MAX;

pub type Id = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// `plain`: without quotes, so that it may mean something else than a text.
    Text {
        plain: bool,
    },
    List,
    Map,
    Alias,
}

/// A value. Nodes refer to each other by small numbers, so that a file of many values fits into memory.
#[derive(Debug)]
struct TreeNode {
    kind: NodeKind,
    line: u32,
    /// The line in which it ended; 0 where no end was read.
    end: u32,
    parent: u32,
    /// Its place among its parent's values. Keys and values of a map alternate.
    index: u32,
    before: u32,
    after: u32,
    /// Of a list or map, the first and the last value; of an alias, its target; of a text, the start and the end in
    /// `texts`.
    links: (u32, u32),
    height: u8,
    /// From 1 on, as far as it fits.
    column: u16,
    /// Whether an alias in it refers to a value that contains the alias.
    endless: bool,
    tagged: bool,
    /// Its size with aliases expanded, in bytes; and how many values are written down in it.
    weight: u32,
    written: u32,
}

/// Where something stands, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<TreeNode>,
    texts: String,
    tags: HashMap<u32, String>,
    pub root: Option<Id>,
    /// Where parsing ended before the file did, and why.
    pub flaw: Option<SyntaxFlaw>,
    /// Whether `<<` merges one map into another.
    pub merges: bool,
    /// The line in which a second document begins, which is ignored.
    pub further: Option<usize>,
    /// Why a file that is named as JSON, and was read as YAML, is no JSON.
    pub no_json: Option<SyntaxFlaw>,
    /// How many bytes aliases may add.
    allowance: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SyntaxFlaw {
    pub line: usize,
    /// From 1 on; 0 where it is not known.
    pub column: usize,
    /// It quotes nothing of the file.
    pub why: String,
    /// Whether the file is not YAML or JSON; false where it is only too large.
    pub is_syntax: bool,
}

impl Tree {
    pub fn ids(&self) -> std::ops::Range<Id> {
        0..self.nodes.len()
    }

    /// What is written here, which may be an alias.
    pub fn kind(&self, id: Id) -> NodeKind {
        self.nodes[id].kind
    }

    /// The value that is meant, which is no alias, and its kind.
    pub fn meaning(&self, id: Id) -> Option<(Id, NodeKind)> {
        self.meant(id).map(|id| (id, self.kind(id)))
    }

    pub fn tag(&self, id: Id) -> Option<&str> {
        self.nodes[id].tagged.then(|| self.tags.get(&(id as u32)).map(String::as_str)).flatten()
    }

    /// Whether the value ended in a line before the one that can't be read.
    pub fn is_whole(&self, id: Id) -> bool {
        let until = self.flaw.as_ref().map_or(usize::MAX, |flaw| flaw.line);
        let end = self.nodes[id].end as usize;
        end > 0 && end < until
    }

    pub fn is_endless(&self, id: Id) -> bool {
        self.nodes[id].endless
    }

    /// Whether it is too large with its aliases expanded.
    pub fn is_too_large(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        let added = node.weight.saturating_sub(node.written.saturating_mul(VALUE));
        usize::from(node.height) > DEEPEST || u64::from(added) > self.allowance
    }

    /// The target of an alias; otherwise the value itself.
    pub fn meant(&self, id: Id) -> Option<Id> {
        match self.nodes[id].kind {
            NodeKind::Alias => Some(self.nodes[id].links.0).filter(|id| *id != NONE).map(|id| id as Id),
            _ => Some(id),
        }
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        let (id, kind) = self.meaning(id)?;
        let (start, end) = self.nodes[id].links;
        matches!(kind, NodeKind::Text { .. }).then(|| self.texts.get(start as usize..end as usize)).flatten()
    }

    /// The values that stand in a list; in a map, keys and values in turn. None in anything else.
    pub fn items(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        let first = match self.nodes[id].kind {
            NodeKind::List | NodeKind::Map => self.nodes[id].links.0,
            _ => NONE,
        };
        std::iter::successors(Some(first), |id| Some(self.nodes.get(*id as usize)?.after))
            .take_while(|id| *id != NONE)
            .map(|id| id as Id)
    }

    /// Keys and values of a map.
    pub fn pairs(&self, id: Id) -> impl Iterator<Item = (Id, Id)> + '_ {
        let mut items = self.items(id).filter(move |_| self.nodes[id].kind == NodeKind::Map);
        // A map that a syntax error cuts off may lack a value.
        std::iter::from_fn(move || Some((items.next()?, items.next()?)))
    }

    /// The key of that name in a map, and its value: the last, if there are several; else one that is merged in (`<<`).
    pub fn find(&self, map: Id, name: &str) -> Option<(Id, Id)> {
        let mut seen = HashSet::new();
        let mut maps = vec![map];
        while let Some(map) = maps.pop().and_then(|map| self.meant(map)) {
            if let Some(own) = self.pairs(map).filter(|(key, _)| self.text(*key) == Some(name)).last() {
                return Some(own);
            }
            let merged = self.merged(map);
            // Each is looked at once, however often it is merged in.
            maps.extend(merged.into_iter().rev().filter(|map| seen.insert(*map)));
        }
        None
    }

    /// The maps that a map merges in, the strongest first.
    pub fn merged(&self, map: Id) -> Vec<Id> {
        self.merging(map).flat_map(|(_, value)| self.merged_by(value)).collect()
    }

    /// Those that the value of one `<<` stands for.
    pub fn merged_by(&self, value: Id) -> Vec<Id> {
        match self.meaning(value) {
            Some((map, NodeKind::Map)) => vec![map],
            Some((list, NodeKind::List)) => self.items(list).filter_map(|item| self.meant(item)).collect(),
            _ => Vec::new(),
        }
    }

    /// Each `<<` of a map, and what it merges in: all of them count.
    pub fn merging(&self, map: Id) -> impl Iterator<Item = (Id, Id)> + '_ {
        let map = self.meant(map).filter(|_| self.merges);
        map.into_iter().flat_map(|map| self.pairs(map)).filter(|(key, _)| self.is_merge(*key))
    }

    pub fn is_merge(&self, key: Id) -> bool {
        self.merges && matches!(self.kind(key), NodeKind::Text { .. }) && self.text(key) == Some("<<")
    }

    /// The list or map that contains it.
    pub fn parent(&self, id: Id) -> Option<Id> {
        Some(self.nodes[id].parent).filter(|id| *id != NONE).map(|id| id as Id)
    }

    pub fn is_key(&self, id: Id) -> bool {
        self.parent(id).is_some_and(|parent| self.kind(parent) == NodeKind::Map)
            && self.nodes[id].index.is_multiple_of(2)
    }

    /// The key whose value it is.
    pub fn key(&self, id: Id) -> Option<Id> {
        let parent = self.parent(id)?;
        let is_value = self.kind(parent) == NodeKind::Map && !self.nodes[id].index.is_multiple_of(2);
        is_value.then_some(self.nodes[id].before as Id)
    }

    /// The line in which people look for it: for a value, that of its key.
    pub fn line(&self, id: Id) -> usize {
        self.place(self.key(id).unwrap_or(id)).line
    }

    pub fn place(&self, id: Id) -> Position {
        Position { line: self.nodes[id].line as usize, column: self.nodes[id].column.into() }
    }

    /// Such as `services[0].plugins[2].config.key`; of a very deep one, its end.
    pub fn path(&self, id: Id) -> String {
        let mut parts = Vec::new();
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            if parts.len() == 16 {
                parts.push("…".to_owned());
                break;
            }
            parts.push(match self.key(at) {
                Some(key) => format!(".{}", quote(self.text(key).unwrap_or("?").as_bytes(), 64)),
                None if self.is_key(at) => "{key}".to_owned(),
                None => format!("[{}]", self.nodes[at].index),
            });
            at = parent;
        }
        parts.reverse();
        parts.concat().trim_start_matches('.').to_owned()
    }
}
