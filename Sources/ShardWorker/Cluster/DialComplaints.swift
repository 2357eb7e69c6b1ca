import Logging
import Model
import Synchronization
import Threading

/// Tells what is wrong with coordinators that are dialled: of each address the same again only after a while, since a
/// worker without a leader dials all of them every few seconds.
final class DialComplaints: Sendable {
    private struct Told {
        var text: String
        var at: Tick
    }

    private let log: Logger
    private let told = Mutex<[String: Told]>([:])
    private static let pauseMilliseconds: UInt64 = 60_000
    /// Redirections may name any address.
    private static let maxAddresses = 64

    init(_ log: Logger) { self.log = log }

    /// What was told lately is told for debugging only.
    func tell(_ level: Logger.Level, _ address: String, _ text: String) {
        let now = SystemClock.now()
        let isNews = told.withLock { told in
            if let last = told[address], last.text == text,
                now < last.at.adding(milliseconds: Self.pauseMilliseconds)
            {
                return false
            }
            if told.count >= Self.maxAddresses { told = [:] }
            told[address] = Told(text: text, at: now)
            return true
        }
        log.log(level: isNews ? level : .debug, "\(text)")
    }

    /// It works: whatever comes next is news.
    func forget(_ address: String) { told.withLock { $0[address] = nil } }
}
