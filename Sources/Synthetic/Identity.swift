internal import Model

/// 128 bits in the shape of a UUID of version 4 (RFC 9562, 5.4).
struct UUIDBits {
    private let high: UInt64
    private let low: UInt64

    init(high: UInt64, low: UInt64) {
        self.high = high & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        self.low = low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    }

    func append(to out: inout ByteWriter) {
        appendFirst(to: &out)
        out.append(UInt8(ascii: "-"))
        Self.append(high >> 16, digits: 4, to: &out)
        out.append(UInt8(ascii: "-"))
        Self.append(high, digits: 4, to: &out)
        out.append(UInt8(ascii: "-"))
        Self.append(low >> 48, digits: 4, to: &out)
        out.append(UInt8(ascii: "-"))
        Self.append(low, digits: 12, to: &out)
    }

    /// The first eight digits.
    func appendFirst(to out: inout ByteWriter) {
        Self.append(high >> 32, digits: 8, to: &out)
    }

    private static func append(_ value: UInt64, digits: UInt64, to out: inout ByteWriter) {
        for place in stride(from: Int(digits) - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(place * 4) & 0xF)
            out.append(digit < 10 ? 48 + digit : 87 + digit)
        }
    }
}

/// What tells one record from another.
struct Identity {
    let probe: UUIDBits
    let uid: UUIDBits

    /// - Parameter first: the probe id's first 32 bits.
    init(first: UInt32, rng: inout PRNG) {
        probe = UUIDBits(high: UInt64(first) << 32 | rng.next() >> 32, low: rng.next())
        uid = UUIDBits(high: rng.next(), low: rng.next())
    }
}
