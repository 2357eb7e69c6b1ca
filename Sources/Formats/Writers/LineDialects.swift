/// A field of the CEF header: `\` and `|` are escaped, `=` is not (CEF implementation standard, "Character encoding").
enum CEFHeader: LineDialect {
    @inline(__always) static func reserved(_ word: UInt64) -> UInt64 {
        ByteScan.equal(word, 0x5C) | ByteScan.equal(word, 0x7C)
    }
    static var trims: Bool { true }
    static var isJSON: Bool { false }
    static var backslash: StaticString { "\\\\" }
    static func spelling(_ byte: UInt8) -> StaticString? {
        switch byte {
        case 0x5C: "\\\\"
        case 0x7C: "\\|"
        default: nil
        }
    }
}

/// A value of the CEF extension: `\`, `=`, LF and CR are escaped, `|` is not.
enum CEFValue: LineDialect {
    @inline(__always) static func reserved(_ word: UInt64) -> UInt64 {
        ByteScan.equal(word, 0x5C) | ByteScan.equal(word, 0x3D)
    }
    static var trims: Bool { true }
    static var isJSON: Bool { false }
    static var backslash: StaticString { "\\\\" }
    static func spelling(_ byte: UInt8) -> StaticString? {
        switch byte {
        case 0x5C: "\\\\"
        case 0x3D: "\\="
        case 0x0A: "\\n"
        case 0x0D: "\\r"
        default: nil
        }
    }
}

/// A value of the CEF extension that is JSON.
enum CEFJSON: LineDialect {
    @inline(__always) static func reserved(_ word: UInt64) -> UInt64 { CEFValue.reserved(word) }
    static var trims: Bool { false }
    static var isJSON: Bool { true }
    static var backslash: StaticString { "\\\\" }
    static func spelling(_ byte: UInt8) -> StaticString? { byte < 0x20 ? nil : CEFValue.spelling(byte) }
}

/// A field of the LEEF header: there is no escape, so a space takes the place of `|`.
enum LEEFHeader: LineDialect {
    @inline(__always) static func reserved(_ word: UInt64) -> UInt64 { ByteScan.equal(word, 0x7C) }
    static var trims: Bool { true }
    static var isJSON: Bool { false }
    static var backslash: StaticString { "\\" }
    static func spelling(_ byte: UInt8) -> StaticString? { nil }
}

/// A value of LEEF: there is no escape, so a space takes the place of the delimiter (TAB), CR and LF.
enum LEEFValue: LineDialect {
    @inline(__always) static func reserved(_ word: UInt64) -> UInt64 { 0 }
    static var trims: Bool { true }
    static var isJSON: Bool { false }
    static var backslash: StaticString { "\\" }
    static func spelling(_ byte: UInt8) -> StaticString? { nil }
}

/// A value of LEEF that is JSON.
enum LEEFJSON: LineDialect {
    @inline(__always) static func reserved(_ word: UInt64) -> UInt64 { 0 }
    static var trims: Bool { false }
    static var isJSON: Bool { true }
    static var backslash: StaticString { "\\" }
    static func spelling(_ byte: UInt8) -> StaticString? { nil }
}
