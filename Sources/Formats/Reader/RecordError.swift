/// Why a record was refused: which field, and what is wrong with it.
public struct RecordError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Path of the field, such as `spec.probe.id`; `record` when the line as a whole is meant.
    public var field: String
    /// What is wrong and what was expected.
    public var message: String

    /// A refusal of `field`.
    public init(field: String, message: String) {
        self.field = field
        self.message = message
    }

    /// `field: message`.
    public var description: String { "\(field): \(message)" }
}

/// A fault of the JSON text itself, found while scanning.
struct JSONFault: Error {
    enum Reason {
        case unexpectedEnd, expectedValue, expectedKey, expectedColon, expectedCommaOrEnd, expectedObject
        case expectedStringList, expectedStringMap, expectedListMap
        case controlCharacter, badEscape, badUTF8, badNumber, badLiteral, tooDeep, duplicateKey, trailingBytes
    }

    var reason: Reason
    /// Position in the input.
    var offset: Int

    /// The fault in words; `start` is where the record begins.
    func message(recordStart start: Int) -> String {
        "\(Self.words(reason)) at byte \(offset - start + 1) of the record"
    }

    private static func words(_ reason: Reason) -> String {
        switch reason {
        case .unexpectedEnd: "the JSON text ends too early"
        case .expectedValue: "expected a JSON value"
        case .expectedKey: "expected a key in double quotes"
        case .expectedColon: "expected ':' after the key"
        case .expectedCommaOrEnd: "expected ',' or the end of the list or object"
        case .expectedObject: "expected an object"
        case .expectedStringList: "expected a list of strings"
        case .expectedStringMap: "expected an object whose values are strings"
        case .expectedListMap: "expected an object whose values are lists of strings"
        case .controlCharacter: "a control character must be written as an escape"
        case .badEscape: "unknown escape sequence"
        case .badUTF8: "the text is not valid UTF-8"
        case .badNumber: "malformed number"
        case .badLiteral: "expected true, false or null"
        case .tooDeep: "nested too deeply"
        case .duplicateKey: "the key appears twice"
        case .trailingBytes: "unexpected text after the record"
        }
    }
}
