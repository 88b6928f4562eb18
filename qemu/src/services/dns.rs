//! A DNS server for the names of the lab (RFC 1035): A records of what `Network` knows, NXDOMAIN for the rest.
//!
//! The lab's network leads nowhere, so "no such name" is the truth about every other name, and a resolver that hears
//! it gives up at once instead of asking again.

use crate::Network;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// Seconds that an answer may be kept; addresses do not change while a lab runs.
const TTL: u32 = 60;

const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

struct Question {
    name: String,
    kind: u16,
    class: u16,
    /// Where the question section ends.
    end: usize,
}

/// The reply to a query; `None` for what is not one.
pub(super) fn answer(query: &[u8], network: &Network) -> Option<Vec<u8>> {
    let (header, _) = query.split_first_chunk::<HEADER>()?;
    let [_, _, flags, _, questions_high, questions_low, ..] = *header;
    if flags & 0x80 != 0 {
        return None; // somebody's response
    }
    if flags & 0x78 != 0 {
        return Some(reply(header, &[], NOT_IMPLEMENTED, None));
    }
    if (questions_high, questions_low) != (0, 1) {
        return Some(reply(header, &[], FORMAT_ERROR, None));
    }
    let Some(question) = parse_question(query) else {
        return Some(reply(header, &[], FORMAT_ERROR, None));
    };
    let asked = query.get(HEADER..question.end)?;
    let address = network.resolve(&question.name).filter(|_| question.class == CLASS_IN);
    Some(match address {
        // A known name without a record of this type is not an error: the answer is empty.
        Some(_) if question.kind != TYPE_A && question.kind != TYPE_ANY => {
            reply(header, asked, NO_ERROR, None)
        }
        Some(address) => reply(header, asked, NO_ERROR, Some(address.octets())),
        None => reply(header, asked, NAME_ERROR, None),
    })
}

fn parse_question(query: &[u8]) -> Option<Question> {
    let mut at = HEADER;
    let mut name = String::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // A question is the first name of its message: a compression pointer has nothing to point to.
        if length > 63 || name.len() + length > 253 {
            return None;
        }
        let label = std::str::from_utf8(query.get(at..at + length)?).ok()?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(label);
        at += length;
    }
    let [kind_high, kind_low, class_high, class_low] = *query.get(at..at + 4)?.first_chunk()?;
    Some(Question {
        name,
        kind: u16::from_be_bytes([kind_high, kind_low]),
        class: u16::from_be_bytes([class_high, class_low]),
        end: at + 4,
    })
}

fn reply(header: &[u8; HEADER], asked: &[u8], code: u8, address: Option<[u8; 4]>) -> Vec<u8> {
    let [id_high, id_low, flags, ..] = *header;
    let recursion_desired = flags & 1;
    let questions = u8::from(!asked.is_empty());
    let answers = u8::from(address.is_some());
    let mut bytes = vec![id_high, id_low];
    // Response, authoritative; recursion is "available" because resolvers distrust servers that deny it.
    bytes.extend([0x84 | recursion_desired, 0x80 | code]);
    bytes.extend([0, questions, 0, answers, 0, 0, 0, 0]);
    bytes.extend(asked);
    if let Some(address) = address {
        bytes.extend([0xc0, 0x0c]); // the name of the question
        bytes.extend(TYPE_A.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        bytes.extend(TTL.to_be_bytes());
        bytes.extend([0, 4]);
        bytes.extend(address);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::tests::example;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_machines_name_has_its_address() {
        let reply = answer(&query("w1", TYPE_A), &example()).unwrap();
        assert_eq!(reply[..2], [0x12, 0x34]);
        assert_eq!((reply[3] & 15, reply[7]), (NO_ERROR, 1));
        assert_eq!(reply[reply.len() - 4..], [10, 77, 0, 21]);
    }

    #[test]
    fn a_known_name_has_no_ipv6_address_but_exists() {
        let reply = answer(&query("api.demo.internal", 28), &example()).unwrap();
        assert_eq!((reply[3] & 15, reply[7]), (NO_ERROR, 0));
    }

    #[test]
    fn any_other_name_does_not_exist() {
        let reply = answer(&query("example.org", TYPE_A), &example()).unwrap();
        assert_eq!((reply[3] & 15, reply[7]), (NAME_ERROR, 0));
    }

    #[test]
    fn a_cut_or_looping_question_is_a_format_error_and_a_response_is_silence() {
        let full = query("w1", TYPE_A);
        assert_eq!(answer(&full[..full.len() - 1], &example()).unwrap()[3] & 15, FORMAT_ERROR);
        let mut pointer = full[..HEADER].to_vec();
        pointer.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        assert_eq!(answer(&pointer, &example()).unwrap()[3] & 15, FORMAT_ERROR);
        let mut response = full;
        response[2] |= 0x80;
        assert_eq!(answer(&response, &example()), None);
    }
}
