package import ExportCore
import Formats
import Model

extension GateChange {
    /// `change`, with its time in words.
    package init(_ change: ExportGate.Transition) {
        self.init(change, time: Self.time(change.wallMilliseconds))
    }

    /// RFC 3339 in UTC with milliseconds.
    static func time(_ unixMilliseconds: UInt64) -> String {
        var out = ByteWriter(capacity: 32)
        Timestamp(
            seconds: Int64(unixMilliseconds / 1_000), nanoseconds: UInt32(unixMilliseconds % 1_000) * 1_000_000
        ).write(digits: 3, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }

    /// The last changes of those that are recorded and those that this process knows besides: it may be that nobody could record
    /// them, and that others have led since.
    static func merged(_ recorded: [GateChange], _ own: [GateChange]) -> [GateChange] {
        let all = recorded + own.filter { !recorded.contains($0) }
        let sorted = all.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
        return sorted.suffix(most).map(\.element)
    }
}
