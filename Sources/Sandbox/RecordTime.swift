#if canImport(Glibc)
    internal import Glibc
#endif

/// Times as records write them: RFC 3339 in UTC, up to nine digits of a second.
enum RecordTime {
    /// Nanoseconds since 1970 of the text in `range`; nil if it is no such time.
    static func nanoseconds(_ bytes: RawSpan, _ range: Range<Int>) -> Int64? {
        guard range.count >= 20, range.count <= 30, range.upperBound <= bytes.byteCount else { return nil }
        let at = range.lowerBound
        guard let year = number(bytes, at, 4), let month = number(bytes, at + 5, 2), let day = number(bytes, at + 8, 2),
            let hour = number(bytes, at + 11, 2), let minute = number(bytes, at + 14, 2),
            let second = number(bytes, at + 17, 2), byte(bytes, range.upperBound - 1) == UInt8(ascii: "Z"),
            (1...12).contains(month)
        else { return nil }
        var fraction: Int64 = 0
        let digits = range.count - 21
        if digits > 0 {
            guard let found = number(bytes, at + 20, digits) else { return nil }
            fraction = found
            for _ in digits..<9 { fraction *= 10 }
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
        return seconds * 1_000_000_000 + fraction
    }

    /// Nanoseconds since 1970, now.
    static var now: Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Whether `text` stands in `range`.
    static func equals(_ bytes: RawSpan, _ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count where unsafe byte(bytes, range.lowerBound + index) != text.utf8Start[index] {
            return false
        }
        return true
    }

    private static func byte(_ bytes: RawSpan, _ index: Int) -> UInt8 {
        unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }

    private static func number(_ bytes: RawSpan, _ start: Int, _ digits: Int) -> Int64? {
        var value: Int64 = 0
        for index in start..<start + digits {
            let digit = byte(bytes, index)
            guard (48...57).contains(digit) else { return nil }
            value = value * 10 + Int64(digit - 48)
        }
        return value
    }

    /// Days from 1970-01-01 to a Gregorian date (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
