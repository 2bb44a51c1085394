//! Builds a tree from a parser's events, up to the limits of a file.

use std::collections::HashMap;

use super::{DEEPEST, Id, NONE, NodeKind, Position, SyntaxFlaw, Tree, TreeNode, VALUE};

/// How many values a file may hold.
const MOST: usize = 2_000_000;

/// How many bytes aliases may add: so many, and so many more for each byte of the file.
const ADDED: u64 = 1024 * 1024;
const ADDED_PER_BYTE: u64 = 8;

/// An event of a parser.
#[derive(Debug)]
pub enum ParseEvent<'a> {
    Text {
        text: &'a str,
        plain: bool,
    },
    List,
    Map,
    /// The end of the list or map that was opened last.
    End,
    Alias(String),
}

/// Makes a tree of a parser's events.
pub struct Builder {
    pub tree: Tree,
    anchors: HashMap<String, u32>,
    open: Vec<u32>,
}

impl Builder {
    pub fn new(text: &str, merges: bool) -> Self {
        let allowance = ADDED + ADDED_PER_BYTE * text.len() as u64;
        Self { tree: Tree { merges, allowance, ..Tree::default() }, anchors: HashMap::new(), open: Vec::new() }
    }

    pub fn stopped(mut self, flaw: SyntaxFlaw) -> Tree {
        self.tree.flaw = Some(flaw);
        self.tree
    }

    /// Takes an event. Returns an error where it exceeds a limit, or is an alias without an anchor.
    pub fn take(&mut self, event: ParseEvent<'_>, at: Position) -> Result<(), SyntaxFlaw> {
        self.take_with(event, at, None, None)
    }

    /// The same with a YAML value's anchor and tag.
    pub fn take_with(
        &mut self,
        event: ParseEvent<'_>,
        at: Position,
        anchor: Option<String>,
        tag: Option<String>,
    ) -> Result<(), SyntaxFlaw> {
        let too_much = |why: String| Err(SyntaxFlaw { line: at.line, column: at.column, why, is_syntax: false });
        let (kind, links, leaf) = match event {
            ParseEvent::Text { text, plain } => {
                let start = self.tree.texts.len() as u32;
                self.tree.texts.push_str(text);
                (NodeKind::Text { plain }, (start, start + text.len() as u32), Some(text.len() as u32))
            }
            ParseEvent::List => (NodeKind::List, (NONE, NONE), None),
            ParseEvent::Map => (NodeKind::Map, (NONE, NONE), None),
            ParseEvent::Alias(name) => return self.alias(&name, at),
            ParseEvent::End => {
                if let Some(id) = self.open.pop() {
                    let node = &mut self.tree.nodes[id as usize];
                    node.height = node.height.saturating_add(1);
                    self.end(id, at.line);
                }
                return Ok(());
            }
        };
        if leaf.is_none() && self.open.len() >= DEEPEST {
            return too_much(format!("values are nested more than {DEEPEST} deep"));
        }
        if self.tree.nodes.len() >= MOST {
            return too_much(format!("it holds more than {MOST} values"));
        }
        let id = self.add(kind, at, links);
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, id);
        }
        if let Some(tag) = tag {
            self.tree.nodes[id as usize].tagged = true;
            self.tree.tags.insert(id, tag);
        }
        match leaf {
            Some(length) => {
                let node = &mut self.tree.nodes[id as usize];
                node.weight = node.weight.saturating_add(length);
                self.end(id, at.line);
            }
            None => self.open.push(id),
        }
        Ok(())
    }

    fn alias(&mut self, name: &str, at: Position) -> Result<(), SyntaxFlaw> {
        let flaw = |why: String, is_syntax| SyntaxFlaw { line: at.line, column: at.column, why, is_syntax };
        let target = self.anchors.get(name).copied();
        let target = target.ok_or_else(|| flaw("an alias (`*name`) has no anchor before it".to_owned(), true))?;
        if self.tree.nodes.len() >= MOST {
            return Err(flaw(format!("it holds more than {MOST} values"), false));
        }
        let ended = Some(&self.tree.nodes[target as usize]).filter(|node| node.end > 0);
        let (weight, height, endless) = ended.map_or((0, 0, true), |node| (node.weight, node.height, node.endless));
        let id = self.add(NodeKind::Alias, at, (if ended.is_some() { target } else { NONE }, NONE));
        let node = &mut self.tree.nodes[id as usize];
        (node.weight, node.height, node.endless) = (node.weight.saturating_add(weight), height, endless);
        self.end(id, at.line);
        Ok(())
    }

    fn add(&mut self, kind: NodeKind, at: Position, links: (u32, u32)) -> u32 {
        let id = self.tree.nodes.len() as u32;
        let (mut parent, mut before, mut index) = (NONE, NONE, 0);
        if let Some(open) = self.open.last() {
            let siblings = &mut self.tree.nodes[*open as usize].links;
            (parent, before) = (*open, siblings.1);
            siblings.1 = id;
            if siblings.0 == NONE {
                siblings.0 = id;
            }
        }
        if let Some(sibling) = self.tree.nodes.get_mut(before as usize) {
            sibling.after = id;
            index = sibling.index + 1;
        }
        if parent == NONE {
            self.tree.root.get_or_insert(id as Id);
        }
        self.tree.nodes.push(TreeNode {
            kind,
            line: at.line as u32,
            column: at.column.try_into().unwrap_or(u16::MAX),
            end: 0,
            parent,
            index,
            before,
            after: NONE,
            links,
            height: 0,
            endless: false,
            tagged: false,
            weight: VALUE,
            written: 1,
        });
        id
    }

    /// Ends a value, and adds what is known of it to its parent.
    fn end(&mut self, id: u32, line: usize) {
        let node = &mut self.tree.nodes[id as usize];
        node.end = line as u32;
        let (parent, weight, written, height, endless) =
            (node.parent, node.weight, node.written, node.height, node.endless);
        if let Some(parent) = self.tree.nodes.get_mut(parent as usize) {
            parent.endless |= endless;
            parent.weight = parent.weight.saturating_add(weight);
            parent.written = parent.written.saturating_add(written);
            parent.height = parent.height.max(height);
        }
    }
}
