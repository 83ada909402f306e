/** Path to text of each generated file that is not a message type. */
export async function generatedTexts(): Promise<Record<string, string>> {
  return {}
}
