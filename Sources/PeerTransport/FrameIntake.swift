internal import Crypto
internal import Model

/// What has come over a connection and was not looked at yet: whole frames, and the beginning of one.
///
/// TLS decrypts straight into it, so that no byte of a frame is copied once it is plaintext. On the channel's event loop.
final class FrameIntake {
    private var cutter: FrameCutter
    private var frames: [SealedBytes] = []
    private var bytes = 0
    /// What came last cannot be cut; nothing is taken any more.
    private(set) var failure: FrameCutter.TooLong?

    init(_ settings: PeerSettings) {
        cutter = FrameCutter(firstLength: settings.maxFirstLength, maxLength: settings.maxFrameLength)
    }

    /// Whether no part of a frame is here.
    var isAtBoundary: Bool { cutter.isAtBoundary }

    /// Takes bytes.
    func feed(_ span: borrowing Span<UInt8>) {
        guard failure == nil else { return }
        bytes += span.count
        do throws(FrameCutter.TooLong) { try cutter.feed(span, into: &frames) } catch { failure = error }
    }

    /// Has `connection` decrypt what it has, as far as one piece of memory goes.
    func read(_ connection: TLSConnection) throws(CryptoError) -> TLSConnection.ReadResult {
        guard failure == nil else { return .needsMore }
        var result = Result<TLSConnection.ReadResult, CryptoError>.success(.needsMore)
        do throws(FrameCutter.TooLong) {
            bytes += try unsafe cutter.take(into: &frames) { room in
                do throws(CryptoError) {
                    let found = try unsafe connection.read(into: room)
                    result = .success(found)
                    if case .bytes(let count) = found { return count }
                } catch {
                    result = .failure(error)
                }
                return 0
            }
        } catch {
            failure = error
        }
        return try result.get()
    }

    /// What has come since the last time.
    func takeAll() -> (frames: [SealedBytes], bytes: Int, partial: Int) {
        defer { (frames, bytes) = ([], 0) }
        return (frames, bytes, failure == nil ? cutter.reservedBytes : 0)
    }
}
