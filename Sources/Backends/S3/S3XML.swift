/// Reads the few words of S3's and STS's XML answers that matter.
///
/// Answers come from outside: whatever they hold, reading them ends, takes bounded memory and loads nothing. Document
/// types, and with them all entities but the five of XML itself, are refused; what is malformed is nil.
enum S3XML {
    /// Longest document that is looked at, bytes.
    static let maxBytes = 64 << 10
    private static let maxDepth = 16
    private static let maxElements = 512

    /// The text of each element that holds no other, in order, under its path: `Error/Code`.
    static func leaves(_ bytes: [UInt8]) -> [(path: String, text: String)]? {
        guard bytes.count <= maxBytes else { return nil }
        var reader = Reader(bytes: bytes)
        return reader.read() ? reader.leaves : nil
    }

    private struct Element {
        var name: String
        var text: [UInt8] = []
        var hasChildren = false
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0
        var open: [Element] = []
        var elements = 0
        var hasRoot = false
        var leaves: [(path: String, text: String)] = []

        mutating func read() -> Bool {
            if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
            while at < bytes.count {
                guard bytes[at] == UInt8(ascii: "<") ? markup() : text() else { return false }
            }
            return hasRoot && open.isEmpty
        }

        private mutating func markup() -> Bool {
            if skip("<!--") { return skip(past: "-->") }
            if skip("<?") { return skip(past: "?>") }
            if skip("<![CDATA[") {
                let start = at
                guard !open.isEmpty, skip(past: "]]>") else { return false }
                open[open.count - 1].text += bytes[start..<(at - 3)]
                return true
            }
            if skip("<!") { return false }
            return skip("</") ? endTag() : startTag()
        }

        private mutating func startTag() -> Bool {
            at += 1
            guard let name = name(), open.count < S3XML.maxDepth, elements < S3XML.maxElements else { return false }
            guard !open.isEmpty || !hasRoot else { return false }
            elements += 1
            hasRoot = true
            if !open.isEmpty { open[open.count - 1].hasChildren = true }
            open.append(Element(name: name))
            while at < bytes.count {
                switch bytes[at] {
                case UInt8(ascii: ">"):
                    at += 1
                    return true
                case UInt8(ascii: "/"):
                    at += 1
                    return skip(">") && close()
                case UInt8(ascii: "\""), UInt8(ascii: "'"):
                    let quote = bytes[at]
                    guard let end = bytes[(at + 1)...].firstIndex(of: quote) else { return false }
                    at = end + 1
                case UInt8(ascii: "<"): return false
                default: at += 1
                }
            }
            return false
        }

        private mutating func endTag() -> Bool {
            guard let name = name(), open.last?.name == name else { return false }
            skipSpace()
            return skip(">") && close()
        }

        private mutating func close() -> Bool {
            guard let element = open.last else { return false }
            if !element.hasChildren {
                guard let text = String(validating: element.text, as: UTF8.self) else { return false }
                leaves.append((open.map(\.name).joined(separator: "/"), text))
            }
            open.removeLast()
            return true
        }

        private mutating func text() -> Bool {
            guard !open.isEmpty else {
                // Between and after the parts of a document only white space may stand (XML 1.0, production [27]).
                guard Self.isSpace(bytes[at]) else { return false }
                at += 1
                return true
            }
            guard bytes[at] == UInt8(ascii: "&") else {
                open[open.count - 1].text.append(bytes[at])
                at += 1
                return true
            }
            guard let end = bytes[at...].prefix(12).firstIndex(of: UInt8(ascii: ";")),
                let scalar = Self.entity(String(decoding: bytes[(at + 1)..<end], as: UTF8.self))
            else { return false }
            open[open.count - 1].text += Array(String(scalar).utf8)
            at = end + 1
            return true
        }

        private static func entity(_ name: String) -> Unicode.Scalar? {
            switch name {
            case "amp": return "&"
            case "lt": return "<"
            case "gt": return ">"
            case "quot": return "\""
            case "apos": return "'"
            default:
                guard name.hasPrefix("#"), !name.contains("+") else { return nil }
                let isHexadecimal = name.hasPrefix("#x")
                return UInt32(name.dropFirst(isHexadecimal ? 2 : 1), radix: isHexadecimal ? 16 : 10)
                    .flatMap(Unicode.Scalar.init)
            }
        }

        private mutating func name() -> String? {
            let start = at
            while at < bytes.count, Self.isNameByte(bytes[at]), at - start < 128 { at += 1 }
            guard at > start, at < bytes.count, !Self.isNameByte(bytes[at]) else { return nil }
            return String(decoding: bytes[start..<at], as: UTF8.self)
        }

        private mutating func skipSpace() {
            while at < bytes.count, Self.isSpace(bytes[at]) { at += 1 }
        }

        private mutating func skip(_ literal: StaticString) -> Bool {
            let wanted = Array(literal.description.utf8)
            guard bytes[at...].starts(with: wanted) else { return false }
            at += wanted.count
            return true
        }

        private mutating func skip(past literal: StaticString) -> Bool {
            let wanted = Array(literal.description.utf8)
            while at < bytes.count {
                if bytes[at...].starts(with: wanted) {
                    at += wanted.count
                    return true
                }
                at += 1
            }
            return false
        }

        private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(byte) }

        private static func isNameByte(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x3A, 0x5F: true
            default: byte >= 0x80
            }
        }
    }
}

/// What S3 and STS say of a refusal.
struct S3Error: Sendable, Equatable {
    /// `SlowDown`, `KMS.DisabledException`; empty if the answer told none.
    var code = ""
    /// For people; made printable and cut.
    var message = ""
    /// The region that the answer names as the right one.
    var region: String?

    /// Reads an answer's body; empty if it is no error document.
    init(_ body: [UInt8]) {
        guard let leaves = S3XML.leaves(body) else { return }
        for (path, text) in leaves {
            switch path {
            case "Error/Code", "ErrorResponse/Error/Code": code = Self.printable(text, limit: 80)
            case "Error/Message", "ErrorResponse/Error/Message": message = Self.printable(text, limit: 300)
            case "Error/Region": region = AWSRegionName.checked(text)
            default: break
            }
        }
    }

    private static func printable(_ text: String, limit: Int) -> String {
        var out = ""
        for scalar in text.unicodeScalars.prefix(limit) {
            out.unicodeScalars.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        return out
    }
}

/// A region as an answer names it.
enum AWSRegionName {
    /// Nil if it cannot be one: what comes from outside is not repeated blindly.
    static func checked(_ text: String) -> String? {
        let isName = text.utf8.allSatisfy { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x2D }
        return isName && 3...40 ~= text.utf8.count ? text : nil
    }
}
