"""Texts in, labels out: the language of a sentence, by its letters."""

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

SENTENCES = {
    "German": "der schnelle braune Fuchs springt über den faulen Hund und die Katze schläft heute nicht zu Hause",
    "English": "the quick brown fox jumps over the lazy dog and the cat does not sleep at home tonight with us",
    "French": "le rapide renard brun saute par dessus le chien paresseux et le chat ne dort pas chez lui ce soir",
}


class Language:
    """Tells German, English and French apart."""

    def load(self) -> None:
        """Count the letters, pairs and triples of letters in each language."""
        letters = CountVectorizer(analyzer="char_wb", ngram_range=(1, 3))
        self.classifier = make_pipeline(letters, MultinomialNB()).fit(list(SENTENCES.values()), list(SENTENCES))

    def predict(self, texts: list[str]) -> list[str]:
        """The language of each text."""
        return [str(label) for label in self.classifier.predict(texts)]

    def example(self) -> dict[str, list[str]]:
        """One text, with which the worker measures how large batches should be."""
        return {"texts": ["a sentence of the usual length"]}
