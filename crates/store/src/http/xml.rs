//! The XML of answers, element by element. Order, namespaces and elements that nobody asks for make no difference.
//!
//! Bounds: the length of an answer is the client's affair; nesting is bounded here. quick-xml expands no entities of a
//! document's own, and one that has some is refused.

use quick_xml::Reader;
use quick_xml::events::Event;

/// No protocol's answers are half as deep.
const DEPTH_MAX: usize = 16;

/// Calls `each` at the end of every element, with the local names from the root and the element's own text; and at its
/// beginning, for each attribute that is no namespace, with `@NAME` as the last name and the value as it stands there.
pub(crate) fn walk(xml: &[u8], mut each: impl FnMut(&[&str], &str)) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("its answer is no XML: {error}");
    let text = std::str::from_utf8(xml).map_err(|error| wrong(&error))?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<(String, String)> = Vec::new();
    let mut end = |path: &[(String, String)], attribute: Option<(&str, &str)>| {
        let mut names: Vec<&str> = path.iter().map(|(name, _)| name.as_str()).collect();
        names.extend(attribute.map(|(name, _)| name));
        let text = || path.last().map_or("", |(_, text)| text.as_str());
        each(&names, attribute.map_or_else(text, |(_, value)| value));
    };
    let mut any = false;
    loop {
        let event = reader.read_event().map_err(|error| wrong(&error))?;
        let is_empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(start) | Event::Empty(start) => {
                if path.len() == DEPTH_MAX {
                    return Err(wrong(&"it is nested too deeply"));
                }
                any = true;
                path.push((start.local_name().into_inner().to_owned(), String::new()));
                for attribute in start.attributes() {
                    let attribute = attribute.map_err(|error| wrong(&error))?;
                    let name = attribute.key.into_inner();
                    if !name.starts_with("xmlns") {
                        end(&path, Some((&format!("@{name}"), &attribute.value)));
                    }
                }
                if is_empty {
                    end(&path, None);
                    path.pop();
                }
            }
            Event::Text(piece) => push(&mut path, &piece),
            Event::CData(piece) => push(&mut path, &piece),
            Event::GeneralRef(entity) => {
                let character = match entity.resolve_char_ref().map_err(|error| wrong(&error))? {
                    Some(character) => Some(character),
                    None => match &*entity {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => None,
                    },
                };
                let character = character.ok_or_else(|| wrong(&"it has an entity of its own"))?;
                push(&mut path, character.encode_utf8(&mut [0; 4]));
            }
            Event::End(_) => {
                end(&path, None);
                path.pop();
            }
            Event::Eof if path.is_empty() && any => return Ok(()),
            Event::Eof => return Err(wrong(&"it ends in the midst")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn push(path: &mut [(String, String)], piece: &str) {
    if let Some((_, text)) = path.last_mut() {
        text.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(xml: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        walk(xml.as_bytes(), |path, text| {
            found.push(format!("{}={text}", path.join("/")))
        })?;
        Ok(found)
    }

    #[test]
    fn elements_come_with_their_text() {
        let xml = "<?xml version='1.0'?><D:a xmlns:D='DAV:'><!-- x --><b>1 &lt; &#x32;</b><D:c/><d><![CDATA[<]]></d></D:a>";
        assert_eq!(seen(xml).unwrap(), ["a/b=1 < 2", "a/c=", "a/d=<", "a="]);
        let xml = "<a><b E='true' xmlns:x='y'>1</b><c F=\"\"/></a>";
        assert_eq!(
            seen(xml).unwrap(),
            ["a/b/@E=true", "a/b=1", "a/c/@F=", "a/c=", "a="]
        );
    }

    #[test]
    fn what_is_no_xml_or_asks_too_much_is_refused() {
        let deep = "<a>".repeat(100_000);
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>";
        for xml in ["", "text", "<a>", "<a></b>", "<a>&nbsp;</a>", bomb, &deep] {
            assert!(seen(xml).is_err(), "{}", &xml[..xml.len().min(20)]);
        }
        assert!(walk(b"<a>\xff</a>", |_, _| ()).is_err());
    }
}
