//! A YAML or JSON file with its lines. Values are not typed here, and aliases not written out: the work is linear in the
//! file's length, whatever stands in it.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use saphyr_parser::{BufferedInput, Event, Parser, ScalarStyle, Tag};

/// How deep values may stand in each other: what reads the values gives up there.
pub const DEEPEST: usize = 128;

/// The longest that a file is read. The parser is slow where thousands of brackets stay open.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many values a file may hold: the parser keeps all of a list in brackets before it tells of it.
const MOST: usize = 2_000_000;

/// How many characters are read between two looks at the clock.
const STRIDE: usize = 1024;

/// In how many maps a key is looked for that may be merged in.
const FUEL: usize = 1000;

pub type Id = usize;

#[derive(Debug)]
pub enum Kind {
    /// `plain` is without quotes, so that it may be something else than a text.
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Id>),
    /// Keys and values.
    Map(Vec<(Id, Id)>),
    /// What it stands for; `None` where it would hold itself.
    Alias(Option<Id>),
}

#[derive(Debug)]
pub struct Node {
    pub line: usize,
    pub kind: Kind,
    pub tag: Option<String>,
    /// The list or map that it stands in, and where in it.
    pub parent: Option<(Id, Slot)>,
    /// The line in which its end was seen.
    end: Option<usize>,
    /// What it weighs and how deep it goes with its aliases written out.
    pub weight: u64,
    pub height: usize,
    /// Whether an alias in it stands within what it means.
    pub endless: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Slot {
    Item(usize),
    Key,
    /// The value of this key.
    Of(Id),
}

#[derive(Debug, Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
    pub root: Option<Id>,
    /// Where reading ended before the file did.
    pub flaw: Option<Flaw>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Flaw {
    pub line: usize,
    /// It quotes nothing.
    pub why: String,
    /// Whether that is no YAML, or only too much of it.
    pub is_syntax: bool,
}

struct Builder {
    tree: Tree,
    anchors: HashMap<usize, Id>,
    /// What is open, and the key in it whose value comes next.
    open: Vec<(Id, Option<Id>)>,
}

impl Tree {
    pub fn read(text: &str) -> Self {
        let mut builder = Builder { tree: Tree::default(), anchors: HashMap::new(), open: Vec::new() };
        let (start, over, commas) = (Instant::now(), Cell::new(None), Cell::new(0));
        let characters = text.chars().enumerate().map_while(|(count, c)| {
            commas.set(commas.get() + usize::from(c == ','));
            if commas.get() > MOST {
                over.set(Some(format!("it holds more than {MOST} values")));
            } else if count.is_multiple_of(STRIDE) && start.elapsed() > PATIENCE {
                over.set(Some(format!("it takes longer than {PATIENCE:?} to read")));
            } else {
                return Some(c);
            }
            None
        });
        let mut parser = Parser::new(BufferedInput::new(characters));
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    builder.stop(error.marker().line(), what(error.info()), true);
                    break;
                }
            };
            let line = span.start.line();
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
            }
            if documents > 1 {
                builder.stop(line, "a second document begins here: there has to be one".to_owned(), true);
                break;
            }
            if builder.open.len() >= DEEPEST {
                builder.stop(line, format!("values stand in each other more than {DEEPEST} deep"), false);
                break;
            }
            if builder.tree.nodes.len() > 2 * MOST {
                builder.stop(line, format!("it holds more than {MOST} values"), false);
                break;
            }
            builder.take(event, line);
        }
        // To the parser, the file ended there.
        if let Some(why) = over.take() {
            let line = builder.tree.nodes.last().map_or(1, |node| node.line);
            builder.stop(line, why, false);
        }
        builder.tree
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// Whether it ended before what can't be read began.
    pub fn is_whole(&self, id: Id) -> bool {
        let until = self.flaw.as_ref().map_or(usize::MAX, |flaw| flaw.line);
        self.nodes[id].end.is_some_and(|end| end < until)
    }

    /// What an alias stands for, or the value itself.
    pub fn meant(&self, id: Id) -> Option<Id> {
        match self.nodes[id].kind {
            Kind::Alias(target) => target,
            _ => Some(id),
        }
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match &self.nodes[self.meant(id)?].kind {
            Kind::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The key of that name in a map, and its value: the last, if there are several; else one that is merged in (`<<`).
    pub fn find(&self, map: Id, name: &str) -> Option<(Id, Id)> {
        self.find_within(map, name, &mut { FUEL })
    }

    fn find_within(&self, map: Id, name: &str, fuel: &mut usize) -> Option<(Id, Id)> {
        *fuel = fuel.checked_sub(1)?;
        let Kind::Map(pairs) = &self.nodes[self.meant(map)?].kind else { return None };
        let own = pairs.iter().rev().find(|(key, _)| self.text(*key) == Some(name));
        own.copied().or_else(|| self.merged(map).into_iter().find_map(|map| self.find_within(map, name, fuel)))
    }

    /// The maps that a map merges in, the strongest first.
    pub fn merged(&self, map: Id) -> Vec<Id> {
        let Some(Kind::Map(pairs)) = self.meant(map).map(|map| &self.nodes[map].kind) else { return Vec::new() };
        let Some((_, value)) = pairs.iter().find(|(key, _)| self.is_merge(*key)) else { return Vec::new() };
        match self.meant(*value).map(|value| (value, &self.nodes[value].kind)) {
            Some((map, Kind::Map(_))) => vec![map],
            Some((_, Kind::List(items))) => items.iter().filter_map(|item| self.meant(*item)).collect(),
            _ => Vec::new(),
        }
    }

    pub fn is_merge(&self, key: Id) -> bool {
        matches!(&self.nodes[key].kind, Kind::Text { text, plain: true } if text == "<<")
    }

    /// Where people look for it: a value where its key is.
    pub fn line(&self, id: Id) -> usize {
        match self.nodes[id].parent {
            Some((_, Slot::Of(key))) => self.nodes[key].line,
            _ => self.nodes[id].line,
        }
    }

    /// Such as `services[0].plugins[2].config.key`; of a very deep one, its end.
    pub fn path(&self, id: Id) -> String {
        let mut parts = Vec::new();
        let mut at = id;
        while let Some((parent, slot)) = self.nodes[at].parent {
            if parts.len() == 16 {
                parts.push("…".to_owned());
                break;
            }
            parts.push(match slot {
                Slot::Item(index) => format!("[{index}]"),
                Slot::Key => "{key}".to_owned(),
                Slot::Of(key) => {
                    let name = self.text(key).unwrap_or("?");
                    format!(".{}", crate::error::quote(name.as_bytes(), 64))
                }
            });
            at = parent;
        }
        parts.reverse();
        parts.concat().trim_start_matches('.').to_owned()
    }
}

impl Builder {
    fn stop(&mut self, line: usize, why: String, is_syntax: bool) {
        self.tree.flaw = Some(Flaw { line: line.max(1), why, is_syntax });
    }

    fn take(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let weight = 16 + text.len() as u64;
                let kind = Kind::Text { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                let id = self.add(kind, line, anchor, tag.as_deref());
                self.end(id, line, weight, 0);
            }
            Event::SequenceStart(anchor, tag) => {
                let id = self.add(Kind::List(Vec::new()), line, anchor, tag.as_deref());
                self.open.push((id, None));
            }
            Event::MappingStart(anchor, tag) => {
                let id = self.add(Kind::Map(Vec::new()), line, anchor, tag.as_deref());
                self.open.push((id, None));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((id, _)) = self.open.pop() {
                    let (weight, height) = (self.tree.nodes[id].weight, self.tree.nodes[id].height);
                    self.end(id, line, weight.saturating_add(16), height + 1);
                }
            }
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).copied().filter(|id| self.tree.nodes[*id].end.is_some());
                let (weight, height, endless) = match target.map(|id| &self.tree.nodes[id]) {
                    Some(node) => (node.weight, node.height, node.endless),
                    None => (0, 0, true),
                };
                let id = self.add(Kind::Alias(target), line, 0, None);
                self.tree.nodes[id].endless = endless;
                self.end(id, line, weight, height);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
    }

    fn add(&mut self, kind: Kind, line: usize, anchor: usize, tag: Option<&Tag>) -> Id {
        let id = self.tree.nodes.len();
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        let parent = self.open.last_mut().map(|(parent, key)| {
            let slot = match (&mut self.tree.nodes[*parent].kind, key.take()) {
                (Kind::List(items), _) => {
                    items.push(id);
                    Slot::Item(items.len() - 1)
                }
                (Kind::Map(pairs), Some(key)) => {
                    pairs.push((key, id));
                    Slot::Of(key)
                }
                _ => {
                    *key = Some(id);
                    Slot::Key
                }
            };
            (*parent, slot)
        });
        if parent.is_none() {
            self.tree.root.get_or_insert(id);
        }
        let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
        self.tree.nodes.push(Node { line, kind, tag, parent, end: None, weight: 0, height: 0, endless: false });
        id
    }

    fn end(&mut self, id: Id, line: usize, weight: u64, height: usize) {
        let node = &mut self.tree.nodes[id];
        (node.end, node.weight, node.height) = (Some(line), weight, height);
        let endless = node.endless;
        if let Some((parent, _)) = node.parent {
            let parent = &mut self.tree.nodes[parent];
            parent.endless |= endless;
            parent.weight = parent.weight.saturating_add(weight);
            parent.height = parent.height.max(height);
        }
    }
}

/// The parser's words, as far as they are its own: one of its messages quotes a character of the file.
fn what(info: &str) -> String {
    info.split('`').next().unwrap_or_default().trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_where_its_key_is_and_an_item_where_it_is() {
        let tree = Tree::read("\u{feff}# c\r\na:\r\n  - 1\r\n\n  -\n    b: |\n      x\n    c:\n      d\n");
        assert_eq!(tree.flaw, None);
        let places: Vec<_> = (0..tree.nodes.len()).map(|id| (tree.path(id), tree.line(id))).collect();
        let expected = [
            ("", 2),
            ("{key}", 2),
            ("a", 2),
            ("a[0]", 3),
            ("a[1]", 6),
            ("a[1]{key}", 6),
            ("a[1].b", 6),
            ("a[1]{key}", 8),
            ("a[1].c", 8),
        ];
        assert_eq!(places, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_file_there_is_an_end(
            text in "([-?:,\\[\\]{}&*!|>'\"%@`#a-c0 \n\t=\u{feff}\0]|---|\\.\\.\\.|<<: |: |- |&a |\\*a|!!str |%TAG |\\\\u){0,60}"
        ) {
            let tree = Tree::read(&text);
            prop_assert!(tree.nodes.len() <= 2 * text.len() + 2);
            for id in 0..tree.nodes.len() {
                prop_assert!(tree.line(id) >= 1 && tree.line(id) <= text.lines().count().max(1) + 1);
                let _ = (tree.path(id), tree.find(id, "a"));
            }
        }
    }
}
