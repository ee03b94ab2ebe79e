//! RLP: what trie nodes and transactions need. `split` is strict: only canonical forms are accepted.

/// One item: a string, or the payload of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A byte string.
    Bytes(&'a [u8]),
    /// Its items, still encoded.
    List(&'a [u8]),
}

/// The first item and what follows it; None when the encoding is not canonical or ends too early.
pub fn split(raw: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (&first, rest) = raw.split_first()?;
    match first {
        0..0x80 => Some((Item::Bytes(&raw[..1]), rest)),
        0x80..0xb8 => {
            let (item, after) = rest.split_at_checked(usize::from(first - 0x80))?;
            if matches!(item, [byte] if *byte < 0x80) {
                return None;
            }
            Some((Item::Bytes(item), after))
        }
        0xb8..0xc0 => {
            let (item, after) = long(rest, first - 0xb7)?;
            Some((Item::Bytes(item), after))
        }
        0xc0..0xf8 => {
            let (item, after) = rest.split_at_checked(usize::from(first - 0xc0))?;
            Some((Item::List(item), after))
        }
        0xf8..=0xff => {
            let (item, after) = long(rest, first - 0xf7)?;
            Some((Item::List(item), after))
        }
    }
}

fn long(rest: &[u8], width: u8) -> Option<(&[u8], &[u8])> {
    let (size, rest) = rest.split_at_checked(usize::from(width))?;
    if size.first() == Some(&0) {
        return None;
    }
    let length = size.iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?;
    if length < 56 {
        return None;
    }
    rest.split_at_checked(length)
}

/// Items of a list's payload.
pub fn items(mut payload: &[u8]) -> Option<Vec<Item<'_>>> {
    let mut out = Vec::with_capacity(13);
    while !payload.is_empty() {
        let (item, rest) = split(payload)?;
        out.push(item);
        payload = rest;
    }
    Some(out)
}

/// Length of a string's encoding.
pub fn bytes_length(raw: &[u8]) -> usize {
    match raw {
        [byte] if *byte < 0x80 => 1,
        _ => header_length(raw.len()) + raw.len(),
    }
}

fn header_length(size: usize) -> usize {
    if size < 56 { 1 } else { 1 + width_of(size) }
}

fn width_of(size: usize) -> usize {
    size_of::<usize>() - size.leading_zeros() as usize / 8
}

fn put_header(out: &mut Vec<u8>, size: usize, short: u8) {
    if size < 56 {
        out.push(short + size as u8);
    } else {
        let width = width_of(size);
        out.push(short + 55 + width as u8);
        out.extend(&size.to_be_bytes()[size_of::<usize>() - width..]);
    }
}

/// Append a string.
pub fn put_bytes(out: &mut Vec<u8>, raw: &[u8]) {
    if !matches!(raw, [byte] if *byte < 0x80) {
        put_header(out, raw.len(), 0x80);
    }
    out.extend(raw);
}

/// Append what stands before the items of a list.
pub fn put_list_header(out: &mut Vec<u8>, size: usize) {
    put_header(out, size, 0xc0);
}
