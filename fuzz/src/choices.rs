//! An input read as decisions: every input means something, and a small change of it a small change of the meaning.

/// Takes decisions off the front of an input; zeros once it is used up.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left, as it is.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let mut value = usize::from(self.byte());
        let mut reach = 256;
        while reach < bound {
            value = value << 8 | usize::from(self.byte());
            reach <<= 8;
        }
        value % bound
    }

    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// A number of any magnitude, or one at an edge.
    pub(crate) fn number(&mut self) -> u64 {
        const EDGES: [u64; 12] = [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            4095,
            4096,
            1 << 31,
            u32::MAX as u64,
            i64::MAX as u64,
            u64::MAX - 1,
            u64::MAX,
        ];
        let width = self.below(10);
        if width == 9 {
            return EDGES[self.below(EDGES.len())];
        }
        (0..width).fold(0, |value, _| value << 8 | u64::from(self.byte()))
    }

    /// Some bytes: a few of the input's own, or many of one kind.
    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        let count = self.byte() as usize;
        if count < 224 {
            let (head, rest) = self.0.split_at((count % 24).min(self.0.len()).min(max));
            self.0 = rest;
            return head.to_vec();
        }
        let fill = self.byte();
        vec![fill; self.below(max.max(1))]
    }

    /// A name of a source.
    pub(crate) fn text(&mut self) -> String {
        let letters = ['a', 'k', 'z', '-', '0', 'ü'];
        (0..self.below(7)).map(|_| letters[self.below(letters.len())]).collect()
    }
}
