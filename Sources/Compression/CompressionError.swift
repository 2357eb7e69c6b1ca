/// What went wrong with compressed bytes.
public struct CompressionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure.
    public enum Kind: Sendable, Equatable {
        /// No memory for the stream's state.
        case outOfMemory
        /// One call takes fewer than 4 GiB.
        case inputTooLong
        /// ISA-L refused to compress: its return code.
        case deflate(Int32)
        /// The input is no gzip, or is damaged: ISA-L's return code.
        case damaged(Int32)
        /// The input ends in the middle of a member.
        case truncated
        /// The decompressed form is longer than the caller accepts.
        case overLimit(Int)
    }

    /// Which of them.
    public let kind: Kind

    init(_ kind: Kind) { self.kind = kind }

    /// What happened, why, and what to do.
    public var description: String {
        switch kind {
        case .outOfMemory:
            "gzip: no memory for the stream state of about 350 kB; give the process more memory"
        case .inputTooLong:
            "gzip: the input is 4 GiB or longer, which one call cannot take; split it"
        case .deflate(let code):
            "gzip: ISA-L isal_deflate refused with code \(code); this is a defect of this program, please report it"
        case .damaged(let code):
            "gzip: the input is not valid gzip (\(Self.reason(code)), ISA-L code \(code)); send it again"
        case .truncated:
            "gzip: the input ends before its last member does; send it again in full"
        case .overLimit(let limit):
            "gzip: the decompressed form exceeds the limit of \(limit) bytes; send less at once or raise the limit"
        }
    }

    // Codes of isa-l/igzip_lib.h.
    private static func reason(_ code: Int32) -> String {
        switch code {
        case -1: "bad deflate block"
        case -2: "bad deflate symbol"
        case -3: "distance reaches before the start"
        case -4: "bad header"
        case -5: "method is not deflate"
        case -6: "checksum or length does not match"
        default: "unknown reason"
        }
    }
}
