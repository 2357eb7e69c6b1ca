import Formats
import Model
import Testing

@Suite struct TimestampTests {
    private static func parse(_ text: String) -> Timestamp? { parse(Array(text.utf8)) }

    private static func parse(_ bytes: [UInt8]) -> Timestamp? {
        Timestamp(bytes.span, 0..<bytes.count)
    }

    private static func written(_ time: Timestamp, digits: Int) -> String {
        var out = ByteWriter()
        time.write(digits: digits, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }

    private static func decimal(_ time: Timestamp, digits: Int) -> String {
        var out = ByteWriter()
        time.writeDecimalSeconds(digits: digits, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }

    /// Checked with `date -u -d … +%s`.
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0, 0), ("2026-03-15T08:30:00.123456789Z", 1_773_563_400, 123_456_789),
        ("2000-02-29T23:59:59Z", 951_868_799, 0), ("2000-03-01T00:00:00Z", 951_868_800, 0),
        ("2024-02-29T12:00:00Z", 1_709_208_000, 0), ("1969-12-31T23:59:59.75Z", -1, 750_000_000),
        ("1969-12-31T23:59:59Z", -1, 0), ("1900-02-28T23:59:59Z", -2_203_891_201, 0),
        ("1900-03-01T00:00:00Z", -2_203_891_200, 0), ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
        ("2026-03-15T10:30:00+02:00", 1_773_563_400, 0), ("2026-03-15T00:15:00-08:15", 1_773_563_400, 0),
        ("2026-03-15T08:30:00-00:00", 1_773_563_400, 0), ("2026-03-16T08:29:00+23:59", 1_773_563_400, 0),
        ("2026-03-14T08:31:00-23:59", 1_773_563_400, 0), ("2026-03-15t08:30:00z", 1_773_563_400, 0),
        ("2026-03-15T08:30:00.1z", 1_773_563_400, 100_000_000),
        ("2026-03-15T08:30:00.000000001+00:00", 1_773_563_400, 1),
    ])
    func reads(text: String, seconds: Int64, nanoseconds: UInt32) {
        #expect(Self.parse(text) == Timestamp(seconds: seconds, nanoseconds: nanoseconds))
    }

    @Test(arguments: 1...9)
    func readsAnyNumberOfDigits(count: Int) {
        let digits = "987654321".prefix(count)
        let nanoseconds = UInt32(digits + String(repeating: "0", count: 9 - count))
        #expect(Self.parse("2026-03-15T08:30:00.\(digits)Z")?.nanoseconds == nanoseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-03-15", "2026-03-15T08:30:00", "2026-03-15T08:30Z", "2026-03-15 08:30:00Z",
        "2026-03-15T08:30:60Z", "2016-12-31T23:59:60Z", "2026-03-15T08:60:00Z", "2026-03-15T24:00:00Z",
        "2026-00-15T08:30:00Z", "2026-13-15T08:30:00Z", "2026-03-00T08:30:00Z", "2026-03-32T08:30:00Z",
        "2026-04-31T08:30:00Z", "2026-06-31T08:30:00Z", "2026-09-31T08:30:00Z", "2026-11-31T08:30:00Z",
        "2026-02-29T08:30:00Z", "1900-02-29T08:30:00Z", "2100-02-29T08:30:00Z", "2024-02-30T08:30:00Z",
        "2026-03-15T08:30:00.Z", "2026-03-15T08:30:00.1234567890Z", "2026-03-15T08:30:00,5Z",
        "2026-03-15T08:30:00+2:00", "2026-03-15T08:30:00+0200", "2026-03-15T08:30:00+02", "2026-03-15T08:30:00+24:00",
        "2026-03-15T08:30:00+02:60", "2026-03-15T08:30:00+02:00Z", "2026-03-15T08:30:00ZZ", "2026-03-15T08:30:00Z ",
        " 2026-03-15T08:30:00Z", "+2026-03-15T08:30:00Z", "-2026-03-15T08:30:00Z", "12026-03-15T08:30:00Z",
        "226-03-15T08:30:00Z", "2026-3-15T08:30:00Z", "2026/03/15T08:30:00Z", "2026-03-15T8:30:00Z",
        "2026-03-15T08:30:00.-1Z", "2026-03-15T08:30:00A", "20२6-03-15T08:30:00Z", "2026-03-15T08:30:0aZ",
        "0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+23:59",
    ])
    func refuses(text: String) {
        #expect(Self.parse(text) == nil)
    }

    /// An offset may carry a time into the range as well as out of it.
    @Test func offsetsAtTheEdges() {
        #expect(Self.parse("0000-12-31T23:59:00-00:01")?.seconds == -62_135_596_800)
        #expect(Self.parse("0001-01-01T00:01:00+00:01")?.seconds == -62_135_596_800)
        #expect(Self.parse("9999-12-31T23:59:59+00:01")?.seconds == 253_402_300_739)
    }

    private static func isLeap(_ year: Int) -> Bool {
        year.isMultiple(of: 400) || (year.isMultiple(of: 4) && !year.isMultiple(of: 100))
    }

    private static func lengths(_ year: Int) -> [Int] {
        [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    }

    /// Days before each year since 0001-01-01, by counting them.
    private static let daysBefore: [Int] = {
        var result = [0, 0]
        for year in 1..<9999 { result.append(result[year] + (isLeap(year) ? 366 : 365)) }
        return result
    }()

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    private static func four(_ number: Int) -> String {
        String(repeating: "0", count: 4 - "\(number)".count) + "\(number)"
    }

    /// The first and last day of every month of every year, against days that were counted one by one.
    @Test func agreesWithACountedCalendar() {
        var mistakes: [String] = []
        for year in 1...9999 {
            var day = Self.daysBefore[year] - 719_162
            for (index, length) in Self.lengths(year).enumerated() {
                for dayOfMonth in [1, length] {
                    let time = Timestamp(seconds: Int64(day + dayOfMonth - 1) * 86_400, nanoseconds: 0)
                    if time.date != (year, index + 1, dayOfMonth) { mistakes.append("\(year)-\(index + 1)") }
                }
                day += length
            }
        }
        #expect(mistakes == [])
    }

    /// Times in the usual spelling are read in words; with a zero offset in place of the Z they are not.
    @Test func theUsualSpellingIsReadAsAnyOther() {
        let usual = Array("2024-02-29T23:59:59.987654321Z".utf8)
        for index in 0..<usual.count - 1 {
            for value in UInt8.min...UInt8.max {
                var changed = usual
                changed[index] = value
                let wanted = Self.parse(changed.dropLast() + Array("+00:00".utf8))
                #expect(Self.parse(changed) == wanted, "byte \(value) at \(index)")
                guard let wanted else { continue }
                // What is spelt so is spelt as it would be written, but for a small t.
                let text = String(decoding: changed, as: UTF8.self).replacing("t", with: "T")
                #expect(Self.written(wanted, digits: 9) == text)
            }
        }
        for end in UInt8.min...UInt8.max where end != 0x5A && end != 0x7A {
            #expect(Self.parse(usual.dropLast() + [end]) == nil)
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func roundTrips(seed: UInt64) {
        var rng = PRNG(seed: seed)
        for _ in 0..<400 {
            let year = 1 + Int(rng.below(9999))
            let month = 1 + Int(rng.below(12))
            let lengths = Self.lengths(year)
            let day = 1 + Int(rng.below(UInt64(lengths[month - 1])))
            let second = Int(rng.below(86_400))
            let nanoseconds = UInt32(rng.below(1_000_000_000))
            let days = Self.daysBefore[year] - 719_162 + lengths[..<(month - 1)].reduce(0, +) + day - 1
            let time = Timestamp(seconds: Int64(days * 86_400 + second), nanoseconds: nanoseconds)
            let fraction = String("\(1_000_000_000 + Int(nanoseconds))".dropFirst())
            let local =
                "\(Self.four(year))-\(Self.two(month))-\(Self.two(day))T\(Self.two(second / 3600))"
                + ":\(Self.two(second / 60 % 60)):\(Self.two(second % 60))"
            #expect(Self.parse(local + "." + fraction + "Z") == time)
            #expect(Self.written(time, digits: 9) == local + "." + fraction + "Z")
            let digits = 1 + Int(rng.below(8))
            #expect(Self.written(time, digits: digits) == local + "." + fraction.prefix(digits) + "Z")
            #expect(Self.written(time, digits: 0) == local + "Z")
            #expect(time.secondOfDay == second)
            guard 2...9998 ~= year else { continue }
            let offset = Int(rng.below(24 * 60))
            let isWest = rng.below(2) == 0
            let shifted = Timestamp(
                seconds: time.seconds + Int64(isWest ? offset : -offset) * 60, nanoseconds: nanoseconds)
            let zone = (isWest ? "-" : "+") + Self.two(offset / 60) + ":" + Self.two(offset % 60)
            #expect(Self.parse(local + "." + fraction + zone) == shifted)
        }
    }

    /// Digits are cut, never rounded, on both sides of the epoch.
    @Test(arguments: [
        (0, 0, 6, "0.000000"), (0, 0, 0, "0"), (1, 999_999_999, 6, "1.999999"), (1, 999_999_999, 0, "1"),
        (1_773_563_400, 123_456_789, 6, "1773563400.123456"), (1_773_563_400, 123_456_789, 9, "1773563400.123456789"),
        (1_773_563_400, 5, 3, "1773563400.000"), (-1, 750_000_000, 6, "-0.250000"), (-1, 0, 6, "-1.000000"),
        (-1, 0, 0, "-1"), (-2, 999_999_999, 9, "-1.000000001"), (-2, 1, 6, "-1.999999"), (-2, 1, 9, "-1.999999999"),
        (-62_135_596_800, 0, 3, "-62135596800.000"), (253_402_300_799, 999_999_999, 3, "253402300799.999"),
    ])
    func decimalSeconds(seconds: Int64, nanoseconds: UInt32, digits: Int, text: String) {
        #expect(Self.decimal(Timestamp(seconds: seconds, nanoseconds: nanoseconds), digits: digits) == text)
    }

    @Test func ordersByTime() {
        let times = [
            "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000001Z",
            "2026-03-15T08:30:00+01:00", "2026-03-15T08:30:00Z",
        ].compactMap(Self.parse)
        #expect(times.count == 6)
        #expect(times.sorted() == times)
        #expect(times.indices.dropLast().allSatisfy { times[$0] < times[$0 + 1] })
    }

    @Test func looksOnlyAtItsRange() {
        let bytes = Array("x2026-03-15T08:30:00Z9".utf8)
        #expect(Timestamp(bytes.span, 1..<21)?.seconds == 1_773_563_400)
        #expect(Timestamp(bytes.span, 1..<20) == nil)
        #expect(Timestamp(bytes.span, 1..<22) == nil)
    }

    @Test func padsWithZeros() {
        var out = ByteWriter()
        Timestamp.pad(7, 1, &out)
        Timestamp.pad(7, 4, &out)
        Timestamp.pad(2026, 4, &out)
        let text = String(decoding: out.seal().array, as: UTF8.self)
        #expect(text == "700072026")
    }
}
