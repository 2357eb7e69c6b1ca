import Testing

@testable import Backends

@Suite struct AdoptedLinesTests {
    private func lines(_ text: String, slack: Int = 0) -> AdoptedLines {
        AdoptedLines(tail: Array(text.utf8), at: 100, slack: slack)
    }

    private func take(_ texts: String..., from lines: inout AdoptedLines) -> [Bool] {
        texts.map { lines.take(Array(($0 + "\n").utf8)) }
    }

    @Test func nothingIsAdoptedFromNothing() {
        var none = lines("")
        #expect(none.isEmpty && none.settledLength == nil && none.tornBytes == 0)
        let taken = take("", "a", from: &none)
        #expect(taken == [false, false])
    }

    @Test func settledLengthFollowsTheFirstOpenLine() {
        var lines = lines("a\nbb\nccc\n")
        #expect(lines.settledLength == 100)
        var taken = take("bb", from: &lines)
        #expect(taken == [true])
        #expect(lines.settledLength == 100)
        taken = take("a", from: &lines)
        #expect(lines.settledLength == 105)
        taken += take("ccc", "ccc", from: &lines)
        #expect(taken == [true, true, false])
        #expect(lines.isEmpty && lines.settledLength == nil)
    }

    @Test func lineThatStandsTwiceIsRecognisedTwice() {
        var lines = lines("a\nb\na\n")
        let taken = take("a", "b", "a", "a", from: &lines)
        #expect(taken == [true, true, true, false])
        #expect(lines.isEmpty)
    }

    @Test func tornLineIsMeasuredAndNotAdopted() {
        var lines = lines("a\n{\"torn")
        #expect(lines.tornBytes == 6)
        let taken = take("{\"torn", "a", from: &lines)
        #expect(taken == [false, true])
        #expect(self.lines("torn").tornBytes == 4)
        #expect(self.lines("torn").isEmpty)
    }

    @Test func coveredLinesAreStillRecognised() {
        var lines = lines("a\nb\n")
        lines.cover()
        #expect(lines.settledLength == nil && !lines.isEmpty)
        let taken = take("b", "b", from: &lines)
        #expect(taken == [true, false])
    }

    @Test func linesThatNeverComeAgainAreGivenUp() {
        var lines = lines("a\nb\n", slack: 3)
        lines.pass(7)
        #expect(!lines.isEmpty)
        lines.pass(1)
        #expect(lines.isEmpty)
        let taken = take("a", from: &lines)
        #expect(taken == [false])
    }
}
