"""Images in, scores out: a module of PyTorch as it is, without an export, with its preprocessing beside it."""

import numpy as np
import torch


class Brightness:
    """Tells dark images from bright ones."""

    def load(self) -> None:
        """Make the module; a model of your own calls `load_state_dict` with a file beside this one here."""
        self.labels = ["dark", "bright"]
        torch.set_num_threads(1)
        self.module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
        with torch.no_grad():
            self.module[2].weight.copy_(torch.tensor([[-4.0] * 3, [4.0] * 3]))
            self.module[2].bias.copy_(torch.tensor([6.0, -6.0]))
        self.module.eval()

    def predict(self, images: list[np.ndarray]) -> np.ndarray:
        """Probabilities [n, 2] of n images uint8 [height, width, 3], which may differ in size."""
        with torch.inference_mode():
            return np.concatenate([self._probabilities(image) for image in images])

    def _probabilities(self, image: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255
        return torch.softmax(self.module(pixels), dim=1).numpy()
