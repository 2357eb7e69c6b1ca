extension LineGrammar {
    /// RFC 5424, section 6, read from left to right.
    static func syslog(_ line: [UInt8]) throws(LineFault) {
        var reader = SyslogReader(line: line)
        try reader.read()
    }
}

private struct SyslogReader {
    let line: [UInt8]
    private var at = 0
    private var rest: ArraySlice<UInt8> { line[at...] }
    private var next: UInt8? { at < line.count ? line[at] : nil }

    init(line: [UInt8]) { self.line = line }

    private func fault(_ what: String) -> LineFault {
        LineFault("\(what) at \(String(decoding: rest.prefix(40), as: UTF8.self))")
    }

    private mutating func take(_ byte: UInt8, _ what: String) throws(LineFault) {
        guard next == byte else { throw fault(what) }
        at += 1
    }

    private mutating func word(_ most: Int, _ what: String) throws(LineFault) -> String {
        let found = rest.prefix { 0x21...0x7E ~= $0 }
        guard 1...most ~= found.count else { throw fault(what) }
        at += found.count
        return String(decoding: found, as: UTF8.self)
    }

    mutating func read() throws(LineFault) {
        try take(0x3C, "no PRI")
        let digits = rest.prefix { $0 != 0x3E }
        let number = String(decoding: digits, as: UTF8.self)
        guard let priority = Int(number), 0...191 ~= priority, String(priority) == number else { throw fault("PRI") }
        at += digits.count + 1
        try take(0x31, "VERSION")
        for (most, what) in [(32, "TIMESTAMP"), (255, "HOSTNAME"), (48, "APP-NAME"), (128, "PROCID"), (32, "MSGID")] {
            try take(0x20, "no space before \(what)")
            let found = try word(most, what)
            if what == "TIMESTAMP" { try timestamp(found) }
        }
        try take(0x20, "no space before STRUCTURED-DATA")
        try structuredData()
        guard !rest.isEmpty else { return }
        try take(0x20, "no space before MSG")
        guard rest.starts(with: [0xEF, 0xBB, 0xBF]) else { throw fault("MSG without a byte order mark") }
        guard !rest.contains(where: { $0 < 0x20 }) else { throw fault("a control character in MSG") }
    }

    private func timestamp(_ text: String) throws(LineFault) {
        let shape = text.map { "0"..."9" ~= $0 ? "0" : String($0) }.joined()
        let fractions = (1...6).map { "0000-00-00T00:00:00.\(String(repeating: "0", count: $0))Z" }
        guard shape == "0000-00-00T00:00:00Z" || fractions.contains(shape) else { throw fault("TIMESTAMP \(text)") }
    }

    private mutating func name(_ what: String) throws(LineFault) -> String {
        let found = rest.prefix { 0x21...0x7E ~= $0 && ![0x3D, 0x5D, 0x22].contains($0) }
        guard 1...32 ~= found.count else { throw fault(what) }
        at += found.count
        return String(decoding: found, as: UTF8.self)
    }

    private mutating func structuredData() throws(LineFault) {
        if next == 0x2D {
            at += 1
            return
        }
        var ids: Set<String> = []
        repeat {
            try take(0x5B, "no [")
            let id = try name("SD-ID")
            guard ids.insert(id).inserted else { throw fault("SD-ID \(id) appears twice") }
            while next == 0x20 {
                at += 1
                _ = try name("PARAM-NAME")
                try take(0x3D, "no =")
                try take(0x22, "no opening quote")
                try value()
            }
            try take(0x5D, "no ]")
        } while next == 0x5B
    }

    private mutating func value() throws(LineFault) {
        while let byte = next, byte != 0x22 {
            guard byte >= 0x20, byte != 0x5D else { throw fault("PARAM-VALUE") }
            if byte == 0x5C {
                at += 1
                guard let escaped = next, [0x22, 0x5C, 0x5D].contains(escaped) else { throw fault("escape") }
            }
            at += 1
        }
        try take(0x22, "no closing quote")
    }
}
