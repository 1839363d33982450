//! The end of a terminal: text that scrolls by, and below it a block of lines that is drawn anew in place.
//!
//! Knows escape sequences, and nothing of runs. indicatif was tried on paper and left: it panics when its terminal goes away while it is
//! suspended, does not tell the terminal's height, and would leave us to lay out the lines ourselves anyway.

use std::io::Write;

use unicode_width::UnicodeWidthStr as _;

/// Where the block is drawn. Whether anybody still reads it does not matter: what cannot be written is lost, and the run goes on.
pub struct Screen {
    out: Box<dyn Write + Send>,
    /// The block as it stands there; the cursor is behind its last line. Empty when nothing stands there.
    shown: Vec<String>,
    /// How many columns the terminal had then.
    width: usize,
    /// How many lines the cursor has moved down since, by what the operator typed.
    moved: usize,
}

impl Screen {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, shown: Vec::new(), width: usize::MAX, moved: 0 }
    }

    /// Gives the output back.
    pub fn into_out(self) -> Box<dyn Write + Send> {
        self.out
    }

    /// Takes note that the operator ended a line, so that the cursor is `lines` lower.
    pub fn entered(&mut self, lines: usize) {
        if !self.shown.is_empty() {
            self.moved += lines;
        }
    }

    /// Lets `above` (whole lines) scroll by, and shows `block` below it. What the operator has typed behind the last line stays, as
    /// long as nothing scrolls and the last line does not change. `width` is that of the terminal now.
    pub fn draw(&mut self, above: &str, block: Vec<String>, width: usize) {
        let resized = width != std::mem::replace(&mut self.width, width);
        let in_place = above.is_empty()
            && !resized
            && self.moved == 0
            && !block.is_empty()
            && block.len() == self.shown.len()
            && block.last() == self.shown.last();
        if in_place && block == self.shown {
            return;
        }
        let text = if in_place { self.changed(&block) } else { self.whole(above, &block) };
        self.shown = block;
        self.moved = 0;
        if !text.is_empty() {
            // Nobody is left to be told of a failure.
            let _ = self.out.write_all(text.as_bytes());
            let _ = self.out.flush();
        }
    }

    /// Goes to the block's beginning, erases all, and writes all.
    fn whole(&self, above: &str, block: &[String]) -> String {
        let mut text = String::new();
        if !self.shown.is_empty() {
            text.push('\r');
            text.push_str(&up(self.height() - 1 + self.moved));
            text.push_str("\x1b[J");
        }
        text.push_str(above);
        text.push_str(&block.join("\n"));
        text
    }

    /// Returns how many lines of the terminal the block takes now. One that was made narrower since has broken the longer lines: nearly all
    /// do, and on one that does not a few lines above are erased, too, which is better than a torn block that stays for ever.
    fn height(&self) -> usize {
        let lines = |line: &String| if self.width == 0 { 1 } else { columns(line).div_ceil(self.width).max(1) };
        self.shown.iter().map(lines).sum()
    }

    /// Writes the lines that changed, and puts the cursor back.
    fn changed(&self, block: &[String]) -> String {
        let last = block.len() - 1;
        let mut text = String::from("\x1b7");
        let mut row = last;
        for (ix, line) in block.iter().enumerate().take(last).filter(|&(ix, line)| self.shown[ix] != *line) {
            let way = if row > ix { up(row - ix) } else { format!("\x1b[{}B", ix - row) };
            text.push_str(&format!("{way}\r{line}\x1b[K"));
            row = ix;
        }
        text.push_str("\x1b8");
        text
    }
}

/// Returns how many columns a line takes, whose colours take none.
fn columns(line: &str) -> usize {
    super::harmless(line, false).width()
}

fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tale::Paper;

    fn block(lines: &[&str]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_block_is_drawn_whole_then_where_it_changed_then_erased() {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()));
        screen.draw("one\n", block(&["a", "b", ""]), 80);
        assert_eq!(paper.take(), "one\na\nb\n");
        screen.draw("", block(&["a", "b", ""]), 80);
        assert_eq!(paper.take(), "");
        screen.draw("", block(&["A", "B", ""]), 80);
        assert_eq!(paper.take(), "\x1b7\x1b[2A\rA\x1b[K\x1b[1B\rB\x1b[K\x1b8");
        screen.draw("two\n", block(&["A", ""]), 80);
        assert_eq!(paper.take(), "\r\x1b[2A\x1b[Jtwo\nA\n");
        screen.draw("", Vec::new(), 80);
        assert_eq!(paper.take(), "\r\x1b[1A\x1b[J");
    }

    #[test]
    fn a_line_that_was_typed_is_gone_over() {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()));
        screen.draw("", block(&["a", "yes or no? "]), 80);
        screen.entered(1);
        paper.take();
        screen.draw("", block(&["a", ""]), 80);
        assert_eq!(paper.take(), "\r\x1b[2A\x1b[Ja\n");
    }

    #[test]
    fn plain_text_passes_as_it_is() {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()));
        screen.draw("one\n", Vec::new(), 80);
        screen.draw("two\n", Vec::new(), 80);
        assert_eq!(paper.take(), "one\ntwo\n");
    }

    #[test]
    fn lines_that_a_narrower_terminal_broke_are_gone_over() {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()));
        screen.draw("", block(&["\x1b[1maaaaaaaaaaaa\x1b[0m", "bbb", ""]), 20);
        paper.take();
        screen.draw("", block(&["aaaa", "bbb", ""]), 5);
        assert_eq!(paper.take(), "\r\x1b[4A\x1b[Jaaaa\nbbb\n");
        screen.draw("", block(&["aaaa", "bbb", ""]), 30);
        assert_eq!(paper.take(), "\r\x1b[2A\x1b[Jaaaa\nbbb\n");
    }
}
