/// Counts lines and columns the way libyaml does: CR, LF, CR LF, NEL, LS and PS end a line.
struct LineCursor {
    private var line = 1
    private var column = 1
    private var afterCarriageReturn = false

    /// The place of `scalar`, which follows those that were given before.
    mutating func mark(before scalar: Unicode.Scalar) -> Mark {
        if afterCarriageReturn, scalar != "\n" { breakLine() }
        afterCarriageReturn = scalar == "\r"
        let here = Mark(line: line, column: column)
        switch scalar {
        case "\n", "\u{85}", "\u{2028}", "\u{2029}": breakLine()
        default: column += 1
        }
        return here
    }

    private mutating func breakLine() {
        line += 1
        column = 1
    }
}
