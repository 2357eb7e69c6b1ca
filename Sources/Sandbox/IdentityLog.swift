/// How often each identity arrived.
///
/// UUIDs in the usual lower-case form, which is nearly all of them, take 16 bytes instead of a string.
struct IdentityLog: Sendable {
    enum Arrival: Equatable {
        case first
        case repeated
        /// Seen for the first time as far as is known, and there was no room to remember it.
        case notRemembered
    }

    private var uuids: [UInt128: UInt32] = [:]
    private var others: [String: UInt32] = [:]

    /// - Parameter mayGrow: whether an identity that is not known yet may be added.
    mutating func note(_ identity: String, mayGrow: Bool) -> Arrival {
        if let uuid = Self.pack(identity) { return Self.note(uuid, in: &uuids, mayGrow: mayGrow) }
        return Self.note(identity, in: &others, mayGrow: mayGrow)
    }

    func contains(_ identity: String) -> Bool {
        Self.pack(identity).map { uuids[$0] != nil } ?? (others[identity] != nil)
    }

    private static func note<Key: Hashable>(
        _ key: Key, in seen: inout [Key: UInt32], mayGrow: Bool
    ) -> Arrival {
        if let before = seen[key] {
            seen[key] = before &+ 1
            return .repeated
        }
        guard mayGrow else { return .notRemembered }
        seen[key] = 1
        return .first
    }

    /// Every identity with its count, in no particular order.
    var entries: some Sequence<(identity: String, count: Int)> {
        let packed = uuids.lazy.map { (identity: Self.unpack($0.key), count: Int($0.value)) }
        let plain = others.lazy.map { (identity: $0.key, count: Int($0.value)) }
        return [AnySequence(packed), AnySequence(plain)].joined()
    }

    private static let hyphens = [8, 13, 18, 23]

    static func pack(_ identity: String) -> UInt128? {
        guard identity.utf8.count == 36 else { return nil }
        var packed: UInt128 = 0
        var position = 0
        for byte in identity.utf8 {
            switch byte {
            case UInt8(ascii: "-") where hyphens.contains(position): break
            case 48...57 where !hyphens.contains(position): packed = packed << 4 | UInt128(byte - 48)
            case 97...102 where !hyphens.contains(position): packed = packed << 4 | UInt128(byte - 87)
            default: return nil
            }
            position += 1
        }
        return packed
    }

    static func unpack(_ packed: UInt128) -> String {
        var text: [UInt8] = []
        for nibble in stride(from: 124, through: 0, by: -4) {
            if hyphens.contains(text.count) { text.append(UInt8(ascii: "-")) }
            let value = UInt8(truncatingIfNeeded: packed >> UInt128(nibble)) & 15
            text.append(value < 10 ? 48 + value : 87 + value)
        }
        return String(decoding: text, as: UTF8.self)
    }
}
