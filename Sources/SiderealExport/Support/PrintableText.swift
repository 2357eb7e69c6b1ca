extension String {
    /// The text as one line that a terminal shows and does not obey: control characters and invisible ones that
    /// change how others are shown are written as escapes of JSON, such as `\u001b`.
    ///
    /// Receivers' answers, records and file names come from others; an escape sequence in them could move the cursor,
    /// rename the window or make a refusal read like a success (Unicode Technical Report 36; CWE-150).
    var printable: String {
        guard unicodeScalars.contains(where: \.isObeyed) else { return self }
        var text = ""
        for scalar in unicodeScalars {
            if scalar.isObeyed { text += scalar.escaped } else { text.unicodeScalars.append(scalar) }
        }
        return text
    }
}

extension Unicode.Scalar {
    /// Whether a terminal may act on it instead of showing it.
    fileprivate var isObeyed: Bool {
        if isASCII { return value < 0x20 || value == 0x7F }
        return switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    /// As JSON writes it: `\u` and four digits, two of them for what lies past U+FFFF.
    fileprivate var escaped: String {
        String(self).utf16.map { unit in
            let digits = String(unit, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }.joined()
    }
}
