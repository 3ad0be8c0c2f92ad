/* store.h: model files.
 *
 * A model file is in the safetensors format (https://github.com/huggingface/safetensors, section Format) with
 * PyTorch's names and layout, so that torch.nn.LSTM and torch.nn.Linear load it as it is. The model's notes are its
 * __metadata__.
 */
#ifndef TALLY_STORE_H
#define TALLY_STORE_H

#include <tally/train.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The note that names the model's cell. */
#define TALLY_CELL_NOTE "tally.cell"

/* Writes a temporary file beside path, syncs it, renames it to path and syncs the folder, so that path is always
 * either the old file or the complete new one. The note "format" is always "pt", and TALLY_CELL_NOTE the name of the
 * cell. TALLY_IO: the text names the file and the reason. TALLY_NUMBERS: a parameter, which the text names, is not
 * finite; such a file could not be loaded. */
TALLY_API tally_status tally_model_save(const tally_model *model, const char *path);

/* Checks every rule of the format before it uses anything in the file. The number of layers follows from the
 * tensors' names; the cell is that of TALLY_CELL_NOTE. In a file without that note, such as PyTorch's, the cell
 * follows from the shape of rnn.weight_hh_l0; a ReLU RNN cannot be told from the tanh RNN then, and is loaded as the
 * latter. Biases are set as by tally_model_set. A training state saved by tally_training_save is checked but not
 * needed. TALLY_IO: the file cannot be read. TALLY_MODEL: it is not a model file; the text says why. The caller
 * frees the model. */
TALLY_API tally_status tally_model_load(tally_device *device, const char *path, tally_model **model);

/* The note with the state of a training run that can be resumed: JSON, internal to the library. tally_model_save
 * omits it. */
#define TALLY_TRAINING_NOTE "tally.training"

/* Saves the kept weights as tally_model_save does, with the model's notes. Unless weights_only, it also saves the
 * state of the run: the optimizer's states as OPTIMIZER.STATE.NAME (adam.m.NAME), NAME being each parameter's; the
 * current weights as train.NAME unless they are the kept ones; and everything else, with the options, in the note
 * TALLY_TRAINING_NOTE. TALLY_NUMBERS: the state to be saved has a number that is not finite. If the run has failed,
 * its status is returned. */
TALLY_API tally_status tally_training_save(const tally_training *training, const char *path, bool weights_only);

/* Whether, as far as its note tells, training can be resumed from the file that the model was loaded from.
 * TALLY_MODEL: it cannot; the text says why. */
TALLY_API tally_status tally_model_resumable(const tally_model *model);

/* Resumes the run saved in path, on any device, so that it ends with the same weights as if it had never stopped.
 * The model, which must have the sizes of the file's, receives the kept weights; data and valid must be those of the
 * saved run. options: NULL to use those of the saved run; given options must equal them, except for epochs and
 * patience, which determine when the run ends. TALLY_USAGE: another option or a size differs. TALLY_IO: the file
 * cannot be read. TALLY_MODEL: it has no training state or an invalid one; the text says why. Otherwise as
 * tally_training_new. */
TALLY_API tally_status tally_training_resume(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                             const tally_train_options *options, const char *path,
                                             tally_training **training);

#ifdef __cplusplus
}
#endif
#endif
