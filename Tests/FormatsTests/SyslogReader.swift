/// A strict reader of RFC 5424, section 6, written from the grammar and knowing nothing of the encoder.
struct SyslogLine {
    struct Fault: Error, CustomStringConvertible {
        var description: String
    }

    var priority = 0
    var timestamp = ""
    var host = ""
    var app = ""
    var process = ""
    var type = ""
    var element = ""
    /// Without the escapes of section 6.3.3.
    var params: [(name: String, value: String)] = []
    /// Without the byte order mark.
    var message = ""

    private var bytes: ArraySlice<UInt8>

    init(_ line: [UInt8]) throws(Fault) {
        bytes = line[...]
        guard String(validating: line, as: UTF8.self) != nil else { throw Fault(description: "not UTF-8") }
        guard line.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw Fault(description: "control character") }
        try expect("<")
        priority = try number(digits: 1...3, upTo: 191)
        try expect(">1 ")
        timestamp = try time()
        host = try printable(255)
        app = try printable(48)
        process = try printable(128)
        type = try printable(32)
        try readElement()
        try expect(" \u{FEFF}")
        message = String(decoding: bytes, as: UTF8.self)
    }

    /// Values of the parameters with this name, control characters put back.
    func values(_ name: String) -> [String] {
        params.filter { $0.name == name }.map { Self.withoutPictures($0.value) }
    }

    private mutating func expect(_ text: String) throws(Fault) {
        guard bytes.starts(with: text.utf8) else { throw Fault(description: "expected \(text)") }
        bytes = bytes.dropFirst(text.utf8.count)
    }

    private mutating func number(digits: ClosedRange<Int>, upTo limit: Int) throws(Fault) -> Int {
        let text = String(decoding: bytes.prefix { 0x30...0x39 ~= $0 }, as: UTF8.self)
        guard digits ~= text.utf8.count, let value = Int(text), value <= limit else {
            throw Fault(description: "number \(text)")
        }
        // PRIVAL has no leading zeros; the fields of TIMESTAMP have a fixed width.
        if digits.lowerBound < digits.upperBound, text.hasPrefix("0"), text != "0" {
            throw Fault(description: "leading zero in \(text)")
        }
        bytes = bytes.dropFirst(text.utf8.count)
        return value
    }

    /// TIMESTAMP in UTC and the space after it.
    private mutating func time() throws(Fault) -> String {
        let text = String(decoding: bytes.prefix { $0 != 0x20 }, as: UTF8.self)
        guard text != "-" else {
            try expect("- ")
            return text
        }
        _ = try number(digits: 4...4, upTo: 9999)
        for (mark, limit) in [("-", 12), ("-", 31), ("T", 23), (":", 59), (":", 59)] {
            try expect(mark)
            _ = try number(digits: 2...2, upTo: limit)
        }
        if bytes.first == 0x2E {
            try expect(".")
            let digits = bytes.prefix { 0x30...0x39 ~= $0 }.count
            guard 1...6 ~= digits else { throw Fault(description: "\(digits) fraction digits") }
            bytes = bytes.dropFirst(digits)
        }
        try expect("Z ")
        return text
    }

    /// Printable ASCII and the space after it.
    private mutating func printable(_ limit: Int) throws(Fault) -> String {
        let text = bytes.prefix { 0x21...0x7E ~= $0 }
        guard 1...limit ~= text.count else { throw Fault(description: "header field of \(text.count) bytes") }
        bytes = bytes.dropFirst(text.count)
        try expect(" ")
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func name() throws(Fault) -> String {
        let text = bytes.prefix { 0x21...0x7E ~= $0 && ![0x3D, 0x5D, 0x22].contains($0) }
        guard 1...32 ~= text.count else { throw Fault(description: "name of \(text.count) bytes") }
        bytes = bytes.dropFirst(text.count)
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func readElement() throws(Fault) {
        try expect("[")
        element = try name()
        while bytes.first == 0x20 {
            try expect(" ")
            let name = try name()
            try expect("=\"")
            params.append((name, try value()))
        }
        try expect("]")
    }

    private mutating func value() throws(Fault) -> String {
        var text: [UInt8] = []
        while let byte = bytes.popFirst() {
            switch byte {
            case 0x22: return String(decoding: text, as: UTF8.self)
            case 0x5D: throw Fault(description: "] without a backslash")
            case 0x5C:
                guard let next = bytes.popFirst(), [0x22, 0x5C, 0x5D].contains(next) else {
                    throw Fault(description: "backslash before something else")
                }
                text.append(next)
            default: text.append(byte)
            }
        }
        throw Fault(description: "value without an end")
    }

    /// The documented way back from pictures to control characters.
    static func withoutPictures(_ text: String) -> String {
        var out = String.UnicodeScalarView()
        var isPlain = false
        for scalar in text.unicodeScalars {
            if isPlain {
                out.append(scalar)
                isPlain = false
            } else if scalar == "\u{2426}" {
                isPlain = true
            } else if scalar == "\u{2421}" {
                out.append("\u{7F}")
            } else if "\u{2400}"..."\u{241F}" ~= scalar {
                out.append(Unicode.Scalar(UInt8(scalar.value - 0x2400)))
            } else {
                out.append(scalar)
            }
        }
        return String(out)
    }
}

extension SyslogLine {
    /// The record put together again, in the shape of the resource.
    func record() throws -> JSON {
        var metadata = members(["uid", "name", "namespace", "creationTimestamp"])
        metadata += map("label", as: "labels") + map("annotation", as: "annotations")
        var probe = members(["profile", "targetNamespace", "aoAuthorizationRef"])
        probe.append(.init(key: "id", value: .string(values("probeId").first ?? "")))
        var result = members(["outcome", "controlEffectiveness", "integrityStatus", "crosswalkVersion"])
        result += members(["mitreAttackId", "verificationMode"])
        let nist = values("nistControl")
        if !nist.isEmpty { result.append(.init(key: "nistControls", value: .list(nist.map { .string($0) }))) }
        result += try controls()
        if let detail { result.append(.init(key: "detail", value: .string(detail))) }
        var execution = members(["timestamp", "jobName"])
        execution.append(.init(key: "durationMs", value: .number(values("durationMs").first ?? "")))
        var root: [JSON.Member] = []
        var spec: [JSON.Member] = []
        for field in values("field") {
            let (path, text) = Self.cut(field, at: "=")
            let parts = path.split(separator: ".", omittingEmptySubsequences: false).map { Self.unquoted(String($0)) }
            let member = JSON.Member(key: parts.last ?? "", value: try JSONTreeReader.read(text.utf8))
            switch parts.dropLast().joined(separator: ".") {
            case "metadata": metadata.append(member)
            case "spec": spec.append(member)
            case "spec.probe": probe.append(member)
            case "spec.result": result.append(member)
            case "spec.execution": execution.append(member)
            default: root.append(member)
            }
        }
        spec += [
            .init(key: "probe", value: .object(probe)), .init(key: "result", value: .object(result)),
            .init(key: "execution", value: .object(execution)),
        ]
        root += [.init(key: "metadata", value: .object(metadata)), .init(key: "spec", value: .object(spec))]
        return .object(root)
    }

    /// What follows the sentence, which the other fields determine.
    var detail: String? {
        let sentence =
            "\(values("outcome")[0]) (control \(values("controlEffectiveness")[0]), integrity "
            + "\(values("integrityStatus")[0])): \(values("profile")[0]) probe of \(values("targetNamespace")[0])"
        let text = Self.withoutPictures(message)
        guard text.utf8.count > sentence.utf8.count else { return nil }
        return String(decoding: text.utf8.dropFirst(sentence.utf8.count + 2), as: UTF8.self)
    }

    private func members(_ names: [String]) -> [JSON.Member] {
        names.flatMap { name in values(name).map { JSON.Member(key: name, value: .string($0)) } }
    }

    private func map(_ name: String, as key: String) -> [JSON.Member] {
        let members = values(name).map { text in
            let (key, value) = Self.cut(text, at: "=")
            return JSON.Member(key: Self.unquoted(key), value: .string(value))
        }
        return members.isEmpty ? [] : [.init(key: key, value: .object(members))]
    }

    private func controls() throws -> [JSON.Member] {
        if let whole = values("controlMappings").first {
            return [.init(key: "controlMappings", value: try JSONTreeReader.read(whole.utf8))]
        }
        var frameworks: [JSON.Member] = []
        for text in values("control") {
            let (name, control) = Self.cut(text, at: ":")
            let framework = Self.unquoted(name)
            let hasControl = text.utf8.count > name.utf8.count
            if let last = frameworks.last, last.key == framework, case .list(let controls) = last.value {
                frameworks[frameworks.count - 1].value = .list(controls + [.string(control)])
            } else {
                frameworks.append(.init(key: framework, value: .list(hasControl ? [.string(control)] : [])))
            }
        }
        return frameworks.isEmpty ? [] : [.init(key: "controlMappings", value: .object(frameworks))]
    }

    /// The text before the first `mark` and the text after it, by bytes: a mark may carry a combining character.
    private static func cut(_ text: String, at mark: Unicode.Scalar) -> (String, String) {
        let parts = text.unicodeScalars.split(separator: mark, maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
    }

    /// Undoes `%3D` and its like.
    private static func unquoted(_ text: String) -> String {
        var out = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            if scalar == "%", let code = UInt8(String(rest.prefix(2)), radix: 16) {
                out.append(Unicode.Scalar(code))
                rest = rest.dropFirst(2)
            } else {
                out.append(scalar)
            }
        }
        return String(out)
    }
}
