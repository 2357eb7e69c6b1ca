internal import Model

/// What the HEC look-alike remembers of requests that may be asked for (Splunk, "About HTTP Event Collector Indexer
/// Acknowledgment"): per channel, numbers from zero, each called true once.
struct HECAcknowledgement: Sendable {
    private struct Channel {
        var next: Int64 = 0
        /// When each becomes true; nil if never.
        var pending: [Int64: Tick?] = [:]
        var usedAt: Tick
    }

    /// Channels that are remembered; the one that was used longest ago goes first.
    private static let maxChannels = 1_000
    /// Numbers that a channel remembers; the oldest go first.
    private static let maxPending: Int64 = 10_000
    private var channels: [String: Channel] = [:]

    /// The number of a request that was taken on `channel`.
    mutating func number(on channel: String, trueAt: Tick?, now: Tick, expiryMilliseconds: UInt64) -> Int64 {
        expire(now, expiryMilliseconds)
        if channels.count >= Self.maxChannels, channels[channel] == nil,
            let oldest = channels.min(by: { $0.value.usedAt < $1.value.usedAt })?.key
        {
            channels[oldest] = nil
        }
        var state = channels[channel] ?? Channel(usedAt: now)
        let number = state.next
        state.next += 1
        state.pending[number] = trueAt
        state.pending[number - Self.maxPending] = nil
        state.usedAt = now
        channels[channel] = state
        return number
    }

    /// Which of the numbers are true now. From then on they are false again, like those that nobody knows.
    mutating func take(_ ids: [Int64], of channel: String, now: Tick, expiryMilliseconds: UInt64) -> Set<Int64> {
        expire(now, expiryMilliseconds)
        guard var state = channels[channel] else { return [] }
        let ready = Set(ids.filter { id in (state.pending[id] ?? nil).map { $0 <= now } ?? false })
        for id in ready { state.pending[id] = nil }
        state.usedAt = now
        channels[channel] = state
        return ready
    }

    private mutating func expire(_ now: Tick, _ milliseconds: UInt64) {
        guard milliseconds > 0 else { return }
        channels = channels.filter { now.milliseconds(since: $0.value.usedAt) < milliseconds }
    }

    /// Whether this is a GUID, as channels must be.
    static func isChannel(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && parts.joined().utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
            }
    }

    /// The numbers of `{"acks":[…]}`; nil if the body is anything else.
    static func question(_ body: [UInt8]) -> [Int64]? {
        var scanner = JSONScanner(body)
        var ids: [Int64]?
        do throws(JSONFault) {
            try scanner.members { (scanner, key) throws(JSONFault) in
                let value = try scanner.value()
                guard key == "acks", value.kind == .array else { return }
                var found: [Int64] = []
                var list = JSONScanner(scanner.bytes, value.range)
                try list.elements { (list) throws(JSONFault) in
                    let start = list.position
                    let element = try list.value()
                    guard let id = Int64(String(decoding: list.bytes[element.range], as: UTF8.self)), id >= 0 else {
                        throw JSONFault(position: start)
                    }
                    found.append(id)
                }
                ids = found
            }
        } catch {
            return nil
        }
        return ids
    }
}
