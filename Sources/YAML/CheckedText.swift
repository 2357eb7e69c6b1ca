/// Text that the parser may have: small, UTF-8, of characters that YAML allows.
struct CheckedText {
    /// Without a byte order mark.
    let text: String

    init(_ bytes: [UInt8], _ bounds: Bounds) throws(YAMLError) {
        guard bytes.count <= bounds.bytes else { throw YAMLError(.tooLarge, "more than \(bounds.bytes) bytes") }
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
            throw YAMLError(.utf16, "UTF-16 instead of UTF-8")
        }
        let hasMark = bytes.starts(with: [0xEF, 0xBB, 0xBF])
        let content = hasMark ? bytes[3...] : bytes[...]
        try Self.check(content)
        text = String(decoding: content, as: UTF8.self)
    }

    private static func check(_ bytes: ArraySlice<UInt8>) throws(YAMLError) {
        var rest = bytes.makeIterator()
        var decoder = UTF8()
        var cursor = LineCursor()
        var directives = 0
        while true {
            switch decoder.decode(&rest) {
            case .emptyInput: return
            case .error:
                throw YAMLError(.notUTF8, "bytes that are no UTF-8", at: cursor.mark(before: " "))
            case .scalarValue(let scalar):
                let mark = cursor.mark(before: scalar)
                guard isPrintable(scalar) else {
                    throw YAMLError(.character(scalar), "a character that YAML does not allow", at: mark)
                }
                guard mark.column == 1, scalar == "%" else { continue }
                directives += 1
                guard directives <= Bounds.directives else {
                    throw YAMLError(.tooManyDirectives, "more than \(Bounds.directives) directives (`%…`)", at: mark)
                }
            }
        }
    }

    /// YAML 1.2, production [1] c-printable, without the byte order mark, which may stand only at the start.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xFFFD, 0x10000...0x10FFFF: scalar != "\u{FEFF}"
        default: false
        }
    }
}
