/// Durations and sizes as people write them.
enum Quantity {
    /// How durations are written, for messages.
    static let durationForm = "a duration such as `250ms`, `5s`, `5m`, `24h` or a number of seconds"
    /// How sizes are written, for messages.
    static let sizeForm = "a size such as `900kB`, `5MB`, `16MiB` or a number of bytes"

    private static let durationUnits: [(String, UInt64)] = [
        ("", 1_000), ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]
    private static let sizeUnits: [(String, UInt64)] = [
        ("", 1), ("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30),
    ]

    /// Milliseconds; nil if `text` is not a duration.
    static func milliseconds(_ text: String) -> UInt64? { value(text, durationUnits) }

    /// Bytes; nil if `text` is not a size.
    static func bytes(_ text: String) -> UInt64? { value(text, sizeUnits) }

    /// What `text` probably meant, where only the unit is written otherwise: `16Mi`, `5mb`, `10 sec`, or a fraction: `4.5s`.
    static func suggestion(_ text: String, sizes: Bool) -> String? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).filter { $0 != " " }.lowercased()
        guard !digits.isEmpty else { return nil }
        if !sizes, unit.hasPrefix(".") { return wholeDuration(digits, unit.dropFirst()) }
        let words: [String: String] =
            sizes
            ? [
                "b": "", "bytes": "", "k": "kB", "kb": "kB", "m": "MB", "mb": "MB", "g": "GB", "gb": "GB",
                "ki": "KiB", "kib": "KiB", "mi": "MiB", "mib": "MiB", "gi": "GiB", "gib": "GiB",
            ]
            : [
                "msec": "ms", "millis": "ms", "milliseconds": "ms", "s": "s", "sec": "s", "secs": "s", "second": "s",
                "seconds": "s", "m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m", "h": "h", "hr": "h",
                "hour": "h", "hours": "h", "d": "d", "day": "d", "days": "d",
            ]
        let meant = words[unit].map { "\(digits)\($0)" }
        // Written rightly already: then it is the number that is too large.
        return meant == text ? nil : meant
    }

    /// `4.5s` without its fraction, `4500ms`; nil if that is no whole number of milliseconds.
    private static func wholeDuration(_ whole: Substring, _ rest: Substring) -> String? {
        let fraction = rest.prefix { $0.isASCII && $0.isNumber }
        guard (1...9).contains(fraction.count),
            let factor = durationUnits.first(where: { $0.0 == rest.dropFirst(fraction.count) })?.1,
            let digits = UInt64(whole + fraction)
        else { return nil }
        let scale = (0..<fraction.count).reduce(UInt64(1)) { product, _ in product * 10 }
        let (product, overflow) = digits.multipliedReportingOverflow(by: factor)
        return overflow || !product.isMultiple(of: scale) ? nil : shownMilliseconds(product / scale)
    }

    /// Bytes as people write them: the largest unit that divides them.
    static func shownBytes(_ bytes: Int) -> String { shownValue(UInt64(bytes), sizeUnits) ?? "\(bytes)" }

    /// Milliseconds as people write them: the largest unit that divides them.
    static func shownMilliseconds(_ milliseconds: UInt64) -> String {
        shownValue(milliseconds, durationUnits) ?? "\(milliseconds)ms"
    }

    private static func value(_ text: String, _ units: [(String, UInt64)]) -> UInt64? {
        let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard let number = UInt64(Substring(digits)), let end = String.Index(digits.endIndex, within: text),
            let factor = units.first(where: { $0.0 == text[end...] })?.1
        else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }

    private static func shownValue(_ value: UInt64, _ units: [(String, UInt64)]) -> String? {
        let fitting = units.filter { !$0.0.isEmpty && value >= $0.1 && value.isMultiple(of: $0.1) }
        return fitting.max { $0.1 < $1.1 }.map { "\(value / $0.1)\($0.0 == "B" ? "" : $0.0)" }
    }
}
