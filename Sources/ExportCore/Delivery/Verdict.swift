/// Why a receiver did not take something.
public struct Reason: Sendable, Equatable, CustomStringConvertible {
    /// A short code for machines: `http-503`, `hec-9`, `mapper_parsing_exception`.
    public var code: String
    /// For people: what happened, where, and what to do if there is something.
    public var message: String

    /// Both parts.
    public init(code: String, message: String) {
        self.code = code
        self.message = message
    }

    /// `message [code]`.
    public var description: String { "\(message) [\(code)]" }
}

/// What an answer means for one record of a request.
public enum ItemVerdict: Sendable, Equatable {
    /// It is there: just now, or already before.
    case delivered
    /// Not now.
    case retry(Reason)
    /// Not before somebody mends the target's settings.
    case configuration(Reason)
    /// This record is never taken as it is.
    case poison(Reason)
}

/// What an answer, or the lack of one, means for the records of a request. Made by each backend's pure verdict function.
public enum Verdict: Sendable, Equatable {
    /// All of them are there; `slowDown` if the receiver asks for a pause.
    case delivered(slowDown: Bool)
    /// One verdict each, in the order of the request.
    case items([ItemVerdict], retryAfterMilliseconds: UInt64?)
    /// The first `delivered` are there, the next one is refused for good, the rest was not looked at.
    case poisonAt(delivered: Int, Reason)
    /// One or more of them is refused for good, but not said which.
    case poison(Reason)
    /// More bytes than the receiver takes in one request.
    case tooLarge(Reason)
    /// None was taken; the receiver may take them later.
    case retry(Reason, retryAfterMilliseconds: UInt64?)
    /// None was taken, nor will be before somebody mends the settings.
    case configuration(Reason)
    /// Sent, and nobody knows what became of it. Never a success.
    case unknown(Reason)
}
